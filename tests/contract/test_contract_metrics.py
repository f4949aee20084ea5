"""CONTRACT, metrics: the gauges that existing dashboards and alerts read."""

from __future__ import annotations

from datetime import timedelta

import yaml

from tests.contract.scene import Scene, serving
from tests.packaging.programs import PACKAGING


async def test_files_by_bucket_with_0_for_an_empty_one(scene: Scene) -> None:
    for key in ("a", "b"):
        scene.put(scene.first, key)
    async with serving(scene.environ) as server:
        files = await server.metric("parparchik_volume_files")
        assert files == {(scene.first,): 2, (scene.second,): 0}
        text = (await server.get("/metrics")).text
        assert f'parparchik_volume_files{{volume="{scene.second}"}} 0' in text
        scene.put(scene.second, "c")
        await server.file("private", "c")
        for key in ("a", "b"):
            scene.delete(scene.first, key)
            await server.file("public", key)
        files = await server.metric("parparchik_volume_files")
        assert files == {(scene.first,): 0, (scene.second,): 1}


async def test_duplicate_files(scene: Scene) -> None:
    for key in ("both", "both too", "only one"):
        scene.put(scene.second, key)
    async with serving(scene.environ) as server:
        assert await server.metric("parparchik_duplicate_files") == {(): 0}
        for key in ("both", "both too"):
            scene.put(scene.first, key)
        await server.post("/relocate?filename=both")
        assert await server.metric("parparchik_duplicate_files") == {(): 1}
        await server.get("/list?sync=true")
        assert await server.metric("parparchik_duplicate_files") == {(): 2}
        scene.delete(scene.second, "both too")
        await server.post("/relocate?filename=both%20too")
        assert await server.metric("parparchik_duplicate_files") == {(): 1}
        scene.delete(scene.first, "both")
        await server.file("public", "both")
        assert await server.metric("parparchik_duplicate_files") == {(): 0}


async def test_uploads_of_7_and_of_31_days(scene: Scene) -> None:
    ages = [timedelta(days=days, minutes=5) for days in (0, 6, 7, 30, 31, 400)]
    for number, age in enumerate(ages):
        scene.put(scene.first, str(number))
        scene.age(scene.first, str(number), age)
    async with serving(scene.environ) as server:
        assert await server.metric("parparchik_uploads_per_week") == {(): 2}
        assert await server.metric("parparchik_uploads_per_month") == {(): 4}
        scene.put(scene.second, "new")
        scene.delete(scene.first, "3")
        await server.file("private", "new")
        await server.file("public", "3")
        assert await server.metric("parparchik_uploads_per_week") == {(): 3}
        assert await server.metric("parparchik_uploads_per_month") == {(): 4}


def test_the_alert_and_its_route_and_panel_are_there() -> None:
    rules = yaml.safe_load((PACKAGING / "prometheus" / "rules.yml").read_text())
    (alert,) = [
        rule
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "ParparchikDuplicateFiles"
    ]
    assert (alert["expr"], alert["for"]) == ("parparchik_duplicate_files > 0", "5m")
    assert alert["labels"]["severity"] == "warning"
    routes = (PACKAGING / "alertmanager" / "alertmanager.yml").read_text()
    assert "ParparchikDuplicateFiles" in routes
    assert "parparchik_duplicate_files" in (PACKAGING / "grafana" / "parparchik.json").read_text()
