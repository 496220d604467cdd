"""
Says what the user's Python has of Airflow's extensions: providers and plugins, as Airflow's own pages list them.

Started inside the sandbox, since asking for plugins imports them. Sends one frame on descriptor 3 and ends: a 4-byte
big-endian length and UTF-8 JSON, as contract/src/ipc/runner.ts says. Imports nothing but the standard library and Airflow.
"""

import json
import os
import re

CHANNEL = 3


def send(frame):
    body = json.dumps(frame, default=str).encode()
    data = memoryview(len(body).to_bytes(4, "big") + body)
    while data:
        data = data[os.write(CHANNEL, data) :]


def provider(found):
    return {
        "package_name": found.data["package-name"],
        "description": re.sub("[`_<>]", "", found.data["description"].strip(" \n.")),
        "version": found.version,
        "documentation_url": found.data.get("documentation-url"),
    }


def main():
    os.environ["AIRFLOW_HOME"] = os.environ["HOME"]
    from airflow import plugins_manager
    from airflow.providers_manager import ProvidersManager

    plugins = plugins_manager.get_plugin_info()
    for plugin in plugins:
        # Menu items are external views too, for whoever does not know the older name.
        plugin["external_views"] = [*plugin["external_views"], *plugin["appbuilder_menu_items"]]
        plugin["source"] = str(plugin["source"])
    send(
        {
            "type": "inventory",
            "providers": sorted(map(provider, ProvidersManager().providers.values()), key=lambda p: p["package_name"]),
            "plugins": sorted(plugins, key=lambda p: p["name"]),
            "plugin_import_errors": [
                {"source": source, "error": error} for source, error in plugins_manager.get_import_errors().items()
            ],
        }
    )


main()
