"""Profiles of every kind that netsetup makes, as it is asked for them, and as `nmcli` must show them."""

from typing import Any

PASSPHRASE = "planted-passphrase"
ROBOT_PROFILE = {"interface": "eth0", "kind": {"robot": {"static": "192.168.50.21/24"}}}
ROBOT_BY_DHCP = {"interface": "eth0", "kind": {"robot": "dhcp"}}
UPLINK = {"interface": "wlan0", "kind": "ethernet"}


def wifi(ssid: str, security: Any, **more: Any) -> dict:
    """A WiFi network."""
    return {"interface": "wlan0", "kind": {"wifi": {"ssid": ssid, "security": security, **more}}}


def eduroam(method: dict, server: dict, **more: str) -> dict:
    """A campus network."""
    security = {"identity": "me@uni.example", "method": method, "server": server, **more}
    return wifi("eduroam", {"enterprise": security})


WPA2 = wifi("lab", {"wpa2": {"passphrase": PASSPHRASE}}, priority=5)
PEAP = {"peap": {"password": PASSPHRASE}}
NAME = {"name": "radius.uni.example"}
# What is asked for, and what `nmcli -s -g` must say of it.
PROFILES: dict[str, tuple[dict, dict[str, str]]] = {
    "robot": (
        ROBOT_PROFILE,
        {
            "connection.interface-name": "eth0",
            "connection.autoconnect": "yes",
            "connection.autoconnect-priority": "999",
            "connection.autoconnect-retries": "1",
            "ipv4.method": "manual",
            "ipv4.addresses": "192.168.50.21/24",
            "ipv4.route-table": "21328",
            "ipv4.never-default": "yes",
            "ipv4.ignore-auto-dns": "yes",
            "ipv4.dns": "",
            "ipv4.dad-timeout": "200",
            "ipv6.method": "disabled",
        },
    ),
    "robot-by-dhcp": (
        ROBOT_BY_DHCP,
        {
            "ipv4.method": "auto",
            "ipv4.route-table": "21328",
            "ipv4.never-default": "yes",
            "ipv4.ignore-auto-dns": "yes",
            "ipv4.ignore-auto-routes": "yes",
            "ipv4.dhcp-timeout": "15",
            "ipv6.method": "disabled",
        },
    ),
    "ethernet": (UPLINK, {"connection.type": "802-3-ethernet", "ipv4.method": "auto", "ipv6.method": "auto"}),
    "modem": (
        {"kind": {"modem": {"apn": "internet.example"}}},
        {"connection.type": "gsm", "gsm.apn": "internet.example"},
    ),
    "wpa2": (
        WPA2,
        {
            "802-11-wireless.ssid": "lab",
            "802-11-wireless.hidden": "no",
            "802-11-wireless.cloned-mac-address": "permanent",
            "802-11-wireless-security.key-mgmt": "wpa-psk",
            "802-11-wireless-security.psk": PASSPHRASE,
            "802-11-wireless-security.psk-flags": "0",
            "connection.autoconnect-priority": "5",
            "connection.autoconnect-retries": "0",
            "ipv4.route-metric": "100",
        },
    ),
    "wpa3": (
        wifi("lab3", {"wpa3": {"passphrase": PASSPHRASE}}, mac="stable"),
        {
            "802-11-wireless-security.key-mgmt": "sae",
            "802-11-wireless-security.psk": PASSPHRASE,
            "802-11-wireless.cloned-mac-address": "stable",
        },
    ),
    "open": (
        wifi("free", "open", mac="random"),
        {"802-11-wireless.ssid": "free", "802-11-wireless.cloned-mac-address": "random"},
    ),
    "hidden": (
        wifi("hidden", "open", hidden=True, mac={"fixed": "02:00:5e:00:53:0a"}),
        {"802-11-wireless.hidden": "yes", "802-11-wireless.cloned-mac-address": r"02\:00\:5E\:00\:53\:0A"},
    ),
    "peap": (
        eduroam(PEAP, {"ca": "/etc/eap/ca.pem", **NAME}, anonymous_identity="anonymous@uni.example"),
        {
            "802-11-wireless-security.key-mgmt": "wpa-eap",
            "802-1x.eap": "peap",
            "802-1x.identity": "me@uni.example",
            "802-1x.anonymous-identity": "anonymous@uni.example",
            "802-1x.phase2-auth": "mschapv2",
            "802-1x.password": PASSPHRASE,
            "802-1x.ca-cert": "/etc/eap/ca.pem",
            "802-1x.domain-suffix-match": "radius.uni.example",
            "802-1x.system-ca-certs": "no",
        },
    ),
    "ttls-pap": (
        eduroam({"ttls": {"inner": "pap", "password": PASSPHRASE}}, NAME),
        {"802-1x.eap": "ttls", "802-1x.phase2-auth": "pap", "802-1x.system-ca-certs": "yes", "802-1x.ca-cert": ""},
    ),
    "ttls-mschapv2": (
        eduroam({"ttls": {"inner": "mschapv2", "password": PASSPHRASE}}, NAME),
        {"802-1x.eap": "ttls", "802-1x.phase2-auth": "mschapv2", "802-1x.password": PASSPHRASE},
    ),
    "tls": (
        eduroam(
            {"tls": {"certificate": "/etc/eap/ca.pem", "key": "/etc/eap/locked.pem", "key_password": PASSPHRASE}},
            {"ca": "/etc/eap/ca.pem"},
        ),
        {
            "802-1x.eap": "tls",
            "802-1x.client-cert": "/etc/eap/ca.pem",
            "802-1x.private-key": "/etc/eap/locked.pem",
            "802-1x.private-key-password": PASSPHRASE,
        },
    ),
    "tls-without-password": (
        eduroam(
            {"tls": {"certificate": "/etc/eap/ca.pem", "key": "/etc/eap/key.pem", "key_password": ""}},
            {"ca": "/etc/eap/ca.pem"},
        ),
        {"802-1x.private-key": "/etc/eap/key.pem", "802-1x.private-key-password-flags": "4"},
    ),
}
