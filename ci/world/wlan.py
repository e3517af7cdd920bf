"""Access points: what hostapd is told, and what a person then writes into the settings."""

from dataclasses import dataclass

SSID = "campus"
PASSPHRASE = "planted-wifi-passphrase"
IDENTITY = "student"
# What the helpers keep in the guest begins with this.
RUN = "/run/t"

_RADIO = f"""
interface=wlan1
bridge=br0
driver=nl80211
ssid={SSID}
hw_mode=g
channel=6
ieee80211n=1
wmm_enabled=1
"""


@dataclass(frozen=True)
class Wlan:
    """A WiFi network and the `[wifi]` section that joins it."""

    hostapd: str
    settings: str

    def with_passphrase(self, passphrase: str) -> "Wlan":
        """The same network, and settings with another passphrase."""
        return Wlan(self.hostapd, self.settings.replace(PASSPHRASE, passphrase))


def _wlan(hostapd: str, settings: str) -> Wlan:
    return Wlan(_RADIO + hostapd, f'[wifi]\nssid = "{SSID}"\n{settings}')


_BY_PASSPHRASE = f'passphrase = "{PASSPHRASE}"\n'
_WPA2 = f"wpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_passphrase={PASSPHRASE}\n"
_WPA3 = f"wpa=2\nwpa_key_mgmt=SAE\nrsn_pairwise=CCMP\nieee80211w=2\nsae_require_mfp=1\nsae_password={PASSPHRASE}\n"
_PEAP = f"""
wpa=2
wpa_key_mgmt=WPA-EAP
rsn_pairwise=CCMP
ieee8021x=1
eap_server=1
eap_user_file={RUN}.eap_users
ca_cert={RUN}.ca
server_cert={RUN}.cert
private_key={RUN}.key
"""
# What hostapd's own authentication server asks for: anybody by PEAP, and inside it the one student.
EAP_USERS = f"""
* PEAP
"{IDENTITY}" MSCHAPV2 "{PASSPHRASE}" [2]
"""
RADIUS_NAME = "radius.example.net"

WPA2 = _wlan(_WPA2, _BY_PASSPHRASE)
WPA3 = _wlan(_WPA3, _BY_PASSPHRASE + 'security = "wpa3"\n')
HIDDEN = _wlan(_WPA2 + "ignore_broadcast_ssid=1\n", _BY_PASSPHRASE + "hidden = true\n")
PEAP = _wlan(
    _PEAP,
    f'identity = "{IDENTITY}"\npassword = "{PASSPHRASE}"\nserver_name = "{RADIUS_NAME}"\n'
    'ca = "/etc/spotstream/wifi-ca.pem"\n',
)
