"""What does the API look like to a machine? OpenAPI 3.1, and its page, served without the internet."""

from __future__ import annotations

from typing import Any

from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.web.permissions import RoleTablePermission


class SchemaView(SpectacularAPIView):
    """The OpenAPI description of this API."""

    permission_classes = [RoleTablePermission]
    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer]


class DocsView(SpectacularSwaggerSplitView):
    """The page that shows the description and lets a person try it."""

    permission_classes = [RoleTablePermission]
    url_name = "schema"

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return super().get(request, *args, **kwargs)
