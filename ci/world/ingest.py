"""Servers of the internet that take RTMP; none of them was written here."""

import json
from dataclasses import dataclass
from pathlib import Path

from world.authority import Authority
from world.network import FFMPEG_ADDRESS, INTERNET, NGINX_ADDRESS, NODE_ADDRESS, NODE_NAME, listens
from world.program import Program

APP = "app"


@dataclass
class Nginx:
    """nginx with its RTMP module; records what it takes, and cuts it into HLS for the demo's page."""

    folder: Path
    extra_http: str = ""
    # The one stream key that it takes; any when empty. A publisher with another is hung up on, as Twitch does.
    only_key: str = ""
    # How long a publisher may say nothing before it is taken for gone; for ever when 0.
    idle_seconds: int = 0
    url: str = f"rtmp://{NGINX_ADDRESS}:1935/{APP}"

    def start(self) -> Program:
        """Run it in the foreground until it listens."""
        for name in ("recorded", "hls"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / name).chmod(0o777)
        self.folder.chmod(0o755)
        configuration = self.folder / "nginx.conf"
        configuration.write_text(self._configuration())
        command = ["nginx", "-e", "stderr", "-p", self.folder, "-c", configuration]
        server = Program(command, log=self.folder / "nginx.log", host=INTERNET)
        server.wait_until(lambda: listens(INTERNET, NGINX_ADDRESS, 1935), 10, "it listens")
        return server

    def recording(self, key: str) -> Path:
        """Where it records the stream `key`."""
        return self.folder / "recorded" / f"{key}.flv"

    def _configuration(self) -> str:
        return f"""
            daemon off;
            user root;
            pid {self.folder}/nginx.pid;
            error_log stderr info;
            load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
            events {{}}
            rtmp {{
              access_log off;
              server {{
                listen {NGINX_ADDRESS}:1935;
                application {APP} {{
                  live on;
                  record all;
                  record_path {self.folder}/recorded;
                  hls on;
                  hls_path {self.folder}/hls;
                  hls_fragment 2s;
                  hls_playlist_length 12s;
                  notify_method get;
                  {f"drop_idle_publisher {self.idle_seconds}s;" if self.idle_seconds else ""}
                  {"on_publish http://127.0.0.1:8081/;" if self.only_key else ""}
                }}
              }}
            }}
            http {{
              access_log off;
              types {{
                text/html html;
                text/javascript js;
                application/json json;
                application/vnd.apple.mpegurl m3u8;
                video/mp2t ts;
              }}
              server {{
                listen 127.0.0.1:8081;
                if ($arg_name != "{self.only_key}") {{ return 403; }}
                return 204;
              }}
              {self.extra_http}
            }}
            """


@dataclass
class Ffmpeg:
    """`ffmpeg -listen 1`, which takes one publisher and writes what it gets, timestamps untouched."""

    folder: Path
    key: str
    url: str = f"rtmp://{FFMPEG_ADDRESS}:1935/{APP}"

    @property
    def recording(self) -> Path:
        """Where it records."""
        return self.folder / f"{self.key}.flv"

    def start(self) -> Program:
        """Run it until it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "verbose", "-copyts"]
        command += ["-listen", "1", "-i", f"{self.url}/{self.key}", "-c", "copy", "-y", self.recording]
        server = Program(command, log=self.folder / "ffmpeg.log", host=INTERNET)
        server.wait_until(lambda: listens(INTERNET, FFMPEG_ADDRESS, 1935), 10, "it listens")
        return server


@dataclass
class NodeMediaServer:
    """node-media-server, which takes RTMPS under a certificate of the test world's authority."""

    folder: Path
    authority: Authority
    node_modules: Path
    url: str = f"rtmps://{NODE_NAME}:443/{APP}"

    def start(self) -> Program:
        """Run it until it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        key, certificate = self.authority.certificate(NODE_NAME)
        configuration = self.folder / "node-media-server.json"
        configuration.write_text(
            json.dumps(
                {
                    "bind": NODE_ADDRESS,
                    "notify": {"url": ""},
                    "store": {"path": str(self.folder / "store"), "maxHistory": 10},
                    "auth": {"play": False, "publish": False, "secret": ""},
                    "rtmp": {"port": 1935},
                    "rtmps": {"port": 443, "key": str(key), "cert": str(certificate)},
                    "record": {"auto": True, "path": str(self.folder / "recorded")},
                }
            )
        )
        script = self.node_modules / "node-media-server/bin/app.js"
        command = ["node", script, "-c", configuration, "--no-admin"]
        server = Program(command, log=self.folder / "node-media-server.log", host=INTERNET)
        server.wait_until(lambda: listens(INTERNET, NODE_ADDRESS, 443), 20, "it listens")
        return server

    def recording(self, key: str) -> Path:
        """The one recording of the stream `key`."""
        (found,) = (self.folder / "recorded").glob(f"{APP}/{key}*/*.flv") or ()
        return found
