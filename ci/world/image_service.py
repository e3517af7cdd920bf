"""image_service.py ROBOT_SIDE UPLINK: the image's D-Bus services as the daemon sees them, with something to show.

The addresses are what netsetup would tell of the box. On the bus of $DBUS_SYSTEM_BUS_ADDRESS, until it is ended. Needs
Debian's own Python, which has GLib's bindings.
"""

import json
import os
import sys

from gi.repository import Gio, GLib

NAME = "org.spotstream.Appliance1"
PATH = "/org/spotstream/Appliance1"
METHODS = ("Doctor", "Report")
NETWORK = "org.spotstream.Network1"
NETWORK_PATH = "/org/spotstream/Network1"
PROPERTIES = {
    "Version": GLib.Variant("s", "0.1.0+world"),
    "Slot": GLib.Variant("s", "A"),
    "LastBoot": GLib.Variant("s", ""),
    "Addresses": GLib.Variant("as", ["192.168.50.21", "10.3.4.5"]),
    "Import": GLib.Variant("s", "the settings file on the card was applied"),
    "Notes": GLib.Variant("as", ["the clock was set by the network"]),
}
CHECKS = [
    {"name": "card", "verdict": "ok", "finding": "reads 41 MB/s, no errors", "advice": ""},
    {
        "name": "power",
        "verdict": "problem",
        "finding": "the voltage was too low 3 times",
        "advice": "use a supply of 5 V and 3 A with a short cable",
    },
    {"name": "throttling", "verdict": "unknown", "finding": "this kernel does not tell", "advice": ""},
]
ANSWERS = {
    "Doctor": json.dumps({"checks": CHECKS}),
    "Report": "spotstream 0.1.0+world\nstate: Live\n",
}


def answer(_bus, _sender, _path, _interface, method, _arguments, call) -> None:
    """Give the text of a method."""
    call.return_value(GLib.Variant("(s)", (ANSWERS[method],)))


def network(robot_side: str, uplink: str) -> dict[str, GLib.Variant]:
    """What netsetup says when all is well."""
    words = {
        "RobotInterface": "eth0",
        "RobotMac": "dc:a6:32:12:34:56",
        "Layout": "payload",
        "RobotAddress": "192.168.50.3",
        "OwnAddress": f"{robot_side}/24",
        "UplinkInterface": "wlan0",
        "UplinkMac": "00:c0:ca:12:34:56",
        "Ssid": 'Lab <b>"& friends',
        "UplinkAddress": f"{uplink}/24",
        "Gateway": uplink.rsplit(".", 1)[0] + ".1",
        "Internet": "yes",
    }
    flags = {"RobotCarrier": True, "RobotReady": True, "UplinkReady": True}
    return {
        **{name: GLib.Variant("s", word) for name, word in words.items()},
        **{name: GLib.Variant("b", flag) for name, flag in flags.items()},
    }


def offer(bus: Gio.DBusConnection, name: str, path: str, properties: dict[str, GLib.Variant], methods=()) -> None:
    """Take a name with properties, and methods that give a text."""
    lines = [
        f'<property name="{key}" type="{value.get_type_string()}" access="read"/>' for key, value in properties.items()
    ]
    lines += [f'<method name="{method}"><arg type="s" direction="out"/></method>' for method in methods]
    node = Gio.DBusNodeInfo.new_for_xml(f'<node><interface name="{name}">{"".join(lines)}</interface></node>')
    bus.register_object(path, node.interfaces[0], answer, lambda *words: properties[words[-1]], None)
    Gio.bus_own_name_on_connection(bus, name, Gio.BusNameOwnerFlags.NONE, None, None)


def main(robot_side: str, uplink: str) -> None:
    """Serve until the end of the process."""
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    bus = Gio.DBusConnection.new_for_address_sync(os.environ["DBUS_SYSTEM_BUS_ADDRESS"], flags, None, None)
    offer(bus, NETWORK, NETWORK_PATH, network(robot_side, uplink))
    offer(bus, NAME, PATH, PROPERTIES, METHODS)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
