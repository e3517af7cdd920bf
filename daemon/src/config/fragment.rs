//! The sections and keys that the daemon reads.

use spotstream_core::secret::Secret;
use spotstream_settings::{declare, shared};

declare! {
    others: ["network", "wifi"];
    defaults: [shared::DEFAULTS, include_str!("defaults.toml")];
    sections {
        /// Where the stream goes.
        stream Stream {
            /// A service known by name: "twitch".
            service: String, r#""twitch""#;
            /// Any other server: `rtmp(s)://host[:port]/app`.
            url: String, r#""rtmps://live.example.org/app""#;
            /// The stream key, or the stream's name on other servers.
            key: Secret, r#""live_...""#;
            /// Twitch: "auto", or one ingest host.
            server: String, r#""auto""#;
            /// Twitch: visible in Twitch Inspector only.
            bandwidth_test: bool, "false";
            /// Whether to go live at power-up.
            autostart: bool, "true";
            /// "camera" or "silent".
            audio: String, r#""camera""#;
            /// PEM file trusted beside the system's roots.
            extra_ca: String, r#""/etc/spotstream/extra-ca.pem""#;
            /// The uplink's interface.
            interface: String, r#""wlan0""#;
        }
        /// How the robot lets us in.
        robot Robot {
            /// "user" or "payload".
            login: String, r#""user""#;
            /// A user of the robot.
            username: String, r#""student""#;
            /// That user's password.
            password: Secret, r#""...""#;
            /// The name in the robot's list of payloads.
            payload_name: String, r#""spotstream""#;
            /// Ready-made payload GUID and secret, two lines.
            credentials_file: String, r#""/opt/payload_credentials/payload_guid_and_secret""#;
            /// The robot's addresses, tried in order.
            hosts: Vec<String>, r#"["192.168.50.3"]"#;
            /// The TCP port of gRPC.
            port: u64, "443";
            /// PEM file of the robot's certificate authority.
            ca: String, r#""/etc/spotstream/robot.pem""#;
            /// The fingerprint of a changed certificate that is right.
            accept_certificate: String, r#""85:10:35:...""#;
            /// The robot's interface.
            interface: String, r#""eth0""#;
        }
        /// What is asked of the camera.
        camera Camera {
            /// The signalling addresses, tried in order.
            hosts: Vec<String>, r#"["192.168.50.6"]"#;
            /// The TCP port of signalling.
            port: u64, "31102";
            /// The fingerprint of a changed certificate that is right.
            accept_certificate: String, r#""85:10:35:...""#;
            /// Kilobits per second of video.
            target_bitrate_kbps: u64, "4000";
            /// The picture is refreshed once in so many frames.
            refresh_interval_frames: u64, "30";
            /// Seconds from IDR to IDR.
            idr_interval_seconds: u64, "2";
            /// White balance.
            awb: String, r#""auto""#;
            /// What the picture shows, of `spotstreamctl screen list`.
            screen: String, r#""mech_full""#;
            /// Whether the camera may lower its bitrate by itself.
            congestion_control: bool, "false";
        }
        /// The page.
        status StatusPage {
            /// Who knows it may steer by the page.
            password: Secret, r#""...""#;
        }
        /// Help from afar.
        ssh Ssh {
            /// Public keys of those who may log in.
            authorized_keys: Vec<String>, r#"["ssh-ed25519 AAAA... name@computer"]"#;
        }
        /// How much is written to the journal.
        log Log {
            /// The least important level that is written.
            level: String, r#""info""#;
        }
    }
}
