"""The FastAPI service, with routes that take and return records as they are."""

from fastapi_models import router
from fastapi_service import app

app.include_router(router)
