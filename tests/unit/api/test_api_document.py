"""The OpenAPI document and its page say what the table says, and are whole."""

import re

from support.api_world import ApiWorld

from gateway.api.docs_page import docs_page
from gateway.api.openapi import openapi
from gateway.api.problems import CODES
from gateway.api.table import OPERATIONS


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


async def test_the_document_is_whole(world: ApiWorld) -> None:
    status, document, _ = await world.ask("GET", "/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= schemas
    declared = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert declared == {(one.path, one.method.lower()) for one in OPERATIONS}


def test_codes_are_of_the_one_list() -> None:
    for operation in OPERATIONS:
        assert set(operation.codes) <= set(CODES), operation.name


async def test_the_page_is_small_has_no_script_and_names_every_operation(world: ApiWorld) -> None:
    page = docs_page(openapi(OPERATIONS, "1", "http://gateway.example"))
    assert len(page.encode()) < 100_000
    assert 'rel="icon"' in page  # without it every browser asks for one, and finds none
    assert not re.search(r"<script|<style|style=| on[a-z]+=|//cdn", page)
    assert all(f'id="{operation.name}"' in page for operation in OPERATIONS)
    async with world.client.get("/docs") as response:
        assert (response.status, response.content_type) == (200, "text/html")
