"""What a campus network hands out: dnsmasq as the DHCP server of the uplink."""

import ipaddress
import subprocess
from collections.abc import Sequence
from pathlib import Path

from world.network import INTERNET
from world.program import Program


class DhcpServer:
    """Leases of one subnet on one interface; `move` changes the subnet, as when somebody else's router takes over."""

    def __init__(
        self,
        folder: Path,
        subnet: str = "198.51.100.0/24",
        host: str = INTERNET,
        interface: str = "eth0",
        servers: Sequence[str] = (),
    ):
        """Prepare; `start` makes it answer. See `move` for `servers`."""
        self.folder = folder
        self.host = host
        self.interface = interface
        self.subnet = ipaddress.ip_network(subnet)
        self.servers = servers
        # What its DNS knows; nothing, and no DNS at all, when empty.
        self.names: dict[str, str] = {}
        self.program: Program | None = None
        self.generation = 0

    @property
    def gateway(self) -> str:
        """The way out and a DNS server."""
        return (*self.servers, str(self.subnet[1]))[0]

    @property
    def name_servers(self) -> list[str]:
        """All DNS servers."""
        return list(self.servers) or [self.gateway]

    def start(self, *more: str, renew_seconds: int = 1200) -> Program:
        """Answer; `more` are words for dnsmasq, `renew_seconds` is when a client is to ask again."""
        self._ip("address", "flush", "dev", self.interface)
        for address in self.name_servers:
            self._ip("address", "add", f"{address}/{self.subnet.prefixlen}", "dev", self.interface)
        self.generation += 1
        command = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--log-facility=-",
            "--log-dhcp",
            "--pid-file=",
            "--no-ping",
            "--bind-interfaces",
            f"--interface={self.interface}",
            "--except-interface=lo",
            "--dhcp-authoritative",
            f"--dhcp-leasefile={self.folder / f'leases-{self.generation}'}",
            f"--dhcp-range={self.subnet[100]},{self.subnet[199]},{self.subnet.netmask},1h",
            f"--dhcp-option=option:router,{self.gateway}",
            f"--dhcp-option=option:dns-server,{','.join(self.name_servers)}",
            f"--dhcp-option-force=option:T1,{renew_seconds}s",
            # Nobody asks for these, and dnsmasq has its own idea of them.
            # A moved server has no longer the address that a renewal goes to; everybody hears a rebinding.
            f"--dhcp-option-force=option:T2,{renew_seconds + 1}s",
            *self._dns(),
            *more,
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        # It gives up root and writes its leases as another user.
        self.folder.chmod(0o777)
        self.program = Program(command, log=self.folder / f"dnsmasq-{self.generation}.log", host=self.host)
        program = self.program
        program.wait_until(lambda: "DHCP, IP range" in program.text(), 10, "it answers")
        return program

    def stop(self) -> None:
        """Fall silent."""
        if self.program is not None and self.program.running():
            self.program.stop()

    def log_text(self) -> str:
        """What it has said since the last start."""
        return "" if self.program is None else self.program.text()

    def move(self, subnet: str, *more: str, servers: Sequence[str] = (), renew_seconds: int = 1200) -> Program:
        """Lease another subnet from now on; who asks to keep an address of the old one is refused.

        `servers` are our own addresses in it, the gateway first, all of them DNS servers; else the subnet has one.
        """
        self.stop()
        self.subnet = ipaddress.ip_network(subnet)
        self.servers = servers
        return self.start(*more, renew_seconds=renew_seconds)

    def _dns(self) -> list[str]:
        if not self.names:
            return ["--port=0"]
        return ["--no-resolv", "--no-hosts", *(f"--address=/{name}/{to}" for name, to in self.names.items())]

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", "-netns", self.host, *words], check=True)
