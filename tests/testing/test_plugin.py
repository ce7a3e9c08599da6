import subprocess
import sys

from nxcdr_async.testing import Gateway, plugin

# Under a name of its own, so that the test does not depend on the plugin being installed.
fresh_gateway = plugin.nxcdr_gateway


def test_loading_the_plugin_does_not_load_the_emulator() -> None:
    check = "import sys, nxcdr_async.testing.plugin; assert 'nxcdr_async.testing.gateway' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_the_fixture_gives_a_running_gateway(fresh_gateway: Gateway) -> None:
    assert fresh_gateway.url.startswith("http://127.0.0.1:")
    assert len(fresh_gateway.call_ids()) == 300
