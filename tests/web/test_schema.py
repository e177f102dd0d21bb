"""The API describes itself, offline, with its problems and in its own case."""

from __future__ import annotations

import re

from django.test import Client

from apps.web.schema import describe_edge, document


def test_it_is_openapi_3_1_and_documents_problems(local: Client) -> None:
    schema = local.get("/api/schema", headers={"accept": "application/json"}).json()
    assert schema["openapi"].startswith("3.1")
    flags = schema["paths"]["/api/flags"]
    assert {"400", "401", "403", "409", "413", "415"} <= set(flags["post"]["responses"])
    problem = flags["post"]["responses"]["400"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}


def test_members_are_in_camel_case_and_twice_is_once() -> None:
    component = {"properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
    schema = describe_edge({"paths": {}, "components": {"schemas": {"Order": component}}})
    assert schema["components"]["schemas"]["Order"] == {
        "properties": {"orderId": {"type": "string"}},
        "required": ["orderId"],
    }
    assert describe_edge(schema) == schema


def test_a_person_sees_it_unchanged_on_the_page(local: Client) -> None:
    page = local.get("/api/schema", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert b"requestBody" in page.content and b"/api/flags" in page.content


def test_the_description_is_made_once() -> None:
    assert document() is document()


def test_the_page_loads_nothing_from_elsewhere(local: Client) -> None:
    page = local.get("/api/docs")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert addresses and all(address.startswith("/") and not address.startswith("//") for address in addresses)
    assert "script-src 'self';" in page["Content-Security-Policy"]
    for address in addresses:
        answer = local.get(address)
        assert answer.status_code == 200, address
        answer.close()
