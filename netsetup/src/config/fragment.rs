//! The sections and keys that netsetup reads.

use spotstream_core::secret::Secret;
use spotstream_settings::{declare, shared};

declare! {
    others: ["log", "status", "ssh"];
    defaults: [shared::DEFAULTS, include_str!("defaults.toml")];
    sections {
        /// The two links.
        network Network {
            /// The interface to the robot, by name or hardware address.
            robot_interface: String, r#""eth0""#;
            /// The interface to the internet, by name or hardware address.
            uplink_interface: String, r#""wlan0""#;
            /// "auto", "payload" or "rear".
            layout: String, r#""auto""#;
            /// Our address on the robot's network.
            own_address: String, r#""192.168.50.21""#;
            /// Which channels and power are allowed here.
            country: String, r#""DE""#;
            /// The access point name of a cellular network.
            apn: String, r#""internet""#;
            /// What may be reached from the uplink.
            open: Vec<String>, r#"["status-page", "mdns"]"#;
        }
    }
    lists {
        /// A WiFi network.
        wifi Wifi {
            /// Its name.
            ssid: String, r#""Lab""#;
            /// The passphrase that all its users have.
            passphrase: Secret, r#""...""#;
            /// Whether it does not tell its name.
            hidden: bool, "true";
            /// "auto", "open", "wpa2", "wpa3" or "enterprise".
            security: String, r#""auto""#;
            /// "permanent", "stable", "random" or a hardware address.
            mac: String, r#""permanent""#;
            /// Enterprise: who we are.
            identity: String, r#""student@example.edu""#;
            /// Enterprise: who we are as others may see it.
            anonymous_identity: String, r#""anonymous@example.edu""#;
            /// Enterprise: our own password.
            password: Secret, r#""...""#;
            /// Enterprise: "peap", "ttls" or "tls".
            method: String, r#""peap""#;
            /// Enterprise: "mschapv2" or "pap".
            inner: String, r#""mschapv2""#;
            /// Enterprise: PEM file of the authority that the server's certificate comes from.
            ca: String, r#""/etc/spotstream/wifi-ca.pem""#;
            /// Enterprise: the server's name, or its end.
            server_name: String, r#""radius.example.edu""#;
            /// Enterprise, TLS: PEM file of our certificate.
            certificate: String, r#""/etc/spotstream/wifi.pem""#;
            /// Enterprise, TLS: PEM file of our key.
            key: String, r#""/etc/spotstream/wifi.key""#;
            /// Enterprise, TLS: what opens the key.
            key_password: Secret, r#""...""#;
        }
    }
    partly {
        /// Where the stream goes.
        stream Stream {
            /// Any other server than Twitch.
            url: String, "";
            /// Twitch: "auto", or one ingest host.
            server: String, "";
            /// PEM file trusted beside the system's roots.
            extra_ca: String, "";
            /// The uplink's interface, for the daemon.
            interface: String, "";
        }
        /// The robot.
        robot Robot {
            /// Its addresses.
            hosts: Vec<String>, "";
            /// Its interface, for the daemon.
            interface: String, "";
        }
        /// The camera.
        camera Camera {
            /// Its addresses.
            hosts: Vec<String>, "";
        }
    }
}
