"""The docs show the services as they are."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "services.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["fastapi_service.py", "fastapi_models.py", "aiohttp_service.py", "litestar_service.py"]
)
def test_quoted_word_for_word(name: str) -> None:
    assert f"```python\n{(HERE / name).read_text(encoding='utf-8')}```\n" in PAGE
