"""The FastAPI service, with routes that take and return records as they are."""

from tests.services.fastapi_models import router
from tests.services.fastapi_service import app

app.include_router(router)
