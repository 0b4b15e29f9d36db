"""The small world and its chain, made once a session."""

import pytest
import small_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Paths of the small world, see small_world.build."""
    return small_world.build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def made(world, provider):
    """Outputs of the chain on the small world, each tool run once with processing.run: {tool: {output: path}}."""
    import processing

    return small_world.chain(world, processing.run)


@pytest.fixture
def run(provider):
    """Runs a tool of the provider: run(id without prefix, parameters) → results."""
    import processing

    return lambda tool, parameters: processing.run(f"pti:{tool}", parameters)
