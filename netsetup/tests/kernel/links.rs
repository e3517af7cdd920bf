use netsetup::edge::netlink::Kernel;
use netsetup_core::observed::{Address, LinkConf};
use netsetup_core::plan::Step;

use crate::world::{in_new_namespace, ip, ip_json, name, plug_in, setting};

#[test]
fn links_are_seen_as_ip_sees_them_and_loopback_is_not() {
    in_new_namespace(async || {
        plug_in();
        ip("link set uplink down");
        ip("link set far-robot address 02:00:00:00:00:99");
        ip("tuntap add raw0 mode tun");
        let seen = Kernel::open().unwrap().observe().await.unwrap();

        let names: Vec<_> = seen.links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["far-robot", "far-uplink", "raw0", "robot", "uplink"]);
        let referee = ip_json("link show");
        for link in &seen.links {
            let entry = referee
                .iter()
                .find(|entry| entry["ifname"] == link.name.as_str())
                .unwrap();
            let flags = entry["flags"].as_array().unwrap();
            assert_eq!(entry["ifindex"], link.index);
            assert_eq!(flags.contains(&"UP".into()), link.up, "{link:?}");
            assert_eq!(flags.contains(&"LOWER_UP".into()), link.carrier, "{link:?}");
            let mac = entry["address"].as_str().unwrap_or("00:00:00:00:00:00");
            assert_eq!(mac, link.mac.to_string());
            assert_eq!(
                entry["permaddr"].as_str(),
                link.permanent_mac.map(|mac| mac.to_string()).as_deref()
            );
            assert_eq!(entry["parentbus"].as_str(), link.bus.as_deref());
        }
    });
}

#[test]
fn addresses_are_seen_with_their_prefix_and_the_other_end_of_a_line_is_not_ours() {
    in_new_namespace(async || {
        plug_in();
        ip("addr add 192.168.50.21/24 dev robot");
        ip("addr add 192.168.50.40/24 dev uplink");
        ip("addr add 10.64.0.7 peer 10.64.0.8 dev uplink");
        ip("addr add 2001:db8::1/64 dev uplink");
        let seen = Kernel::open().unwrap().observe().await.unwrap();
        let expected = [
            ("robot", "192.168.50.21/24"),
            ("uplink", "10.64.0.7/32"),
            ("uplink", "192.168.50.40/24"),
        ];
        let expected = expected.map(|(interface, address)| Address {
            interface: name(interface),
            address: address.parse().unwrap(),
        });
        assert_eq!(seen.addresses, expected);
    });
}

#[test]
fn the_settings_of_a_link_are_set_and_seen_and_zero_is_a_setting_too() {
    in_new_namespace(async || {
        plug_in();
        let kernel = Kernel::open().unwrap();
        let on = LinkConf {
            rp_filter: 2,
            arp_ignore: 1,
            arp_announce: 2,
            forwarding: 1,
        };
        let off = LinkConf {
            rp_filter: 0,
            arp_ignore: 2,
            arp_announce: 0,
            forwarding: 0,
        };
        for conf in [on, off, off] {
            let untouched = (setting("uplink", "rp_filter"), setting("robot", "accept_local"));
            kernel
                .apply(&Step::ConfigureLink(name("robot"), conf))
                .await
                .unwrap();
            assert_eq!(setting("robot", "rp_filter"), conf.rp_filter);
            assert_eq!(setting("robot", "arp_ignore"), conf.arp_ignore);
            assert_eq!(setting("robot", "arp_announce"), conf.arp_announce);
            assert_eq!(setting("robot", "forwarding"), conf.forwarding);
            assert_eq!(
                (setting("uplink", "rp_filter"), setting("robot", "accept_local")),
                untouched
            );
            let seen = kernel.observe().await.unwrap();
            let robot = seen.links.iter().find(|link| link.name == name("robot")).unwrap();
            assert_eq!(robot.conf, conf);
        }
    });
}

#[test]
fn a_link_that_is_not_there_has_no_settings() {
    in_new_namespace(async || {
        let kernel = Kernel::open().unwrap();
        let error = kernel
            .apply(&Step::ConfigureLink(name("robot"), LinkConf::default()))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to set the IPv4 settings of 'robot': there is no interface 'robot'"
        );
        assert_eq!(error.kind(), "netlink-no-interface");
        assert!(error.is_retryable());
    });
}

#[test]
fn a_kernel_without_wifi_has_no_country() {
    in_new_namespace(async || {
        if std::path::Path::new("/sys/module/cfg80211").exists() {
            panic!("this kernel has WiFi: show the country on it, this test is for one without");
        }
        assert_eq!(netsetup::edge::country::observe().await.unwrap(), None);
        let germany = netsetup_core::names::CountryCode::try_from("DE".to_owned()).unwrap();
        let error = netsetup::edge::country::set(germany).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("failed to set the WiFi country to 'DE': "),
            "{error}"
        );
    });
}

#[test]
fn a_look_is_whole_while_addresses_come_and_go() {
    in_new_namespace(async || {
        plug_in();
        ip("addr add 192.0.2.1/32 dev robot");
        let flutter = (0..4000).map(|n| {
            let address = format!("198.51.{}.{}/32", n / 2 % 250, n / 500);
            let verb = if n % 2 == 0 { "add" } else { "del" };
            format!("addr {verb} {address} dev robot\n")
        });
        let batch = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(batch.path(), flutter.collect::<String>()).unwrap();
        let mut stranger = tokio::process::Command::new("ip")
            .arg("-batch")
            .arg(batch.path())
            .spawn()
            .unwrap();

        let kernel = Kernel::open().unwrap();
        let mut looks = 0;
        while stranger.try_wait().unwrap().is_none() {
            let seen = kernel.observe().await.unwrap();
            assert_eq!(seen.links.len(), 4);
            assert!(
                seen.addresses
                    .iter()
                    .any(|address| address.address.to_string() == "192.0.2.1/32")
            );
            looks += 1;
        }
        assert!(stranger.wait().await.unwrap().success());
        assert!(looks > 0);
    });
}
