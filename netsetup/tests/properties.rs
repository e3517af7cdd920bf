//! What holds for whatever people want and whatever there is, with a model of what each step does, as simple as can be.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised has failed"
)]

use std::collections::BTreeSet;
use std::path::Path;

use ipnet::Ipv4Net;
use netsetup::config::check_bytes;
use netsetup_core::desired::Desired;
use netsetup_core::names::{CountryCode, InterfaceName, MacAddress, Ssid};
use netsetup_core::observed::{
    Address, Device, DeviceKind, Link, LinkConf, Manager, Observed, Sightings, StoredProfile,
};
use netsetup_core::plan::{Step, plan};
use netsetup_core::profile::{Kind, Profile, RobotAddress};
use netsetup_core::routing::{MAIN_TABLE, PROTOCOL, ROBOT_TABLE, Route, Rule};
use netsetup_core::select::select;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select as one_of, subsequence};
use uuid::Uuid;

mod model;

use model::apply;

const ROUNDS: usize = 3;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_leads_to_an_empty_one((desired, mut observed) in world()) {
        for _ in 0..ROUNDS {
            let steps = plan(&desired, &observed).steps;
            if steps.is_empty() {
                return Ok(());
            }
            for step in &steps {
                apply(&mut observed, step);
            }
        }
        let left = show(&plan(&desired, &observed).steps);
        prop_assert!(left.is_empty(), "still to do: {left:#?}");
    }

    #[test]
    fn who_is_killed_after_any_step_gets_there_at_the_next_start((desired, mut observed) in world(), done in 0usize..40) {
        for step in plan(&desired, &observed).steps.iter().take(done) {
            apply(&mut observed, step);
        }
        for _ in 0..ROUNDS {
            for step in plan(&desired, &observed).steps {
                apply(&mut observed, &step);
            }
        }
        let left = show(&plan(&desired, &observed).steps);
        prop_assert!(left.is_empty(), "still to do: {left:#?}");
    }

    #[test]
    fn only_what_bears_our_mark_is_touched((desired, observed) in world()) {
        let ours: BTreeSet<_> = observed.manager.iter().flat_map(|it| &it.profiles).map(|it| it.uuid).collect();
        let mut known = ours.clone();
        let selection = select(&desired, &observed);
        let chosen = |name: &InterfaceName| {
            selection.robot.as_ref() == Ok(name)
                || selection.uplink.as_ref().is_ok_and(|it| it.device == *name || it.interface == *name)
        };
        for step in plan(&desired, &observed).steps {
            let is_allowed = match &step {
                Step::LoadFirewall(text) => text.starts_with("table inet spotstream {"),
                Step::SetCountry(country) => desired.country == Some(*country),
                Step::ConfigureLink(name, _) | Step::Manage(name) => chosen(name),
                Step::AddRoute(route) => route.protocol == PROTOCOL && !observed.routes.contains(route),
                Step::DeleteRoute(route) => route.protocol == PROTOCOL && observed.routes.contains(route),
                Step::AddRule(rule) => !observed.rules.contains(rule),
                Step::DeleteRule(rule) => observed.rules.contains(rule),
                Step::AddProfile(profile) => known.insert(profile.uuid()),
                Step::UpdateProfile(profile) => ours.contains(&profile.uuid()),
                Step::DeleteProfile(uuid) => ours.contains(uuid) && known.remove(uuid),
                Step::Activate(uuid, name) => known.contains(uuid) && name.as_ref().is_some_and(chosen),
            };
            prop_assert!(is_allowed, "{step}");
        }
    }

    #[test]
    fn a_side_is_ready_only_when_nothing_is_left_to_do((desired, mut observed) in world(), rounds in 0..=ROUNDS) {
        for _ in 0..rounds {
            for step in plan(&desired, &observed).steps {
                apply(&mut observed, &step);
            }
        }
        let planned = plan(&desired, &observed);
        let status = &planned.status;
        let steps = show(&planned.steps);
        prop_assert!(!(status.robot.ready && status.uplink.ready) || steps.is_empty(), "ready, but {steps:#?}");
        if status.robot.ready {
            prop_assert!(status.robot.own_address.is_some() && status.robot.carrier);
            prop_assert!(!steps.iter().any(|it| it.contains("robot")), "ready, but {steps:#?}");
        }
        if status.uplink.ready {
            prop_assert!(status.uplink.address.is_some());
            prop_assert!(!steps.iter().any(|it| it.contains("lookup main") || it.contains("table main")), "ready, but {steps:#?}");
        }
        prop_assert!(!(status.robot.ready && status.robot.reason.is_some()));
        prop_assert!(!(status.uplink.ready && status.uplink.reason.is_some()));
    }

    #[test]
    fn whoever_takes_something_of_ours_away_is_noticed((desired, mut observed) in world(), which in any::<proptest::sample::Index>()) {
        for _ in 0..ROUNDS {
            for step in plan(&desired, &observed).steps {
                apply(&mut observed, &step);
            }
        }
        let before = observed.clone();
        let marked = observed.routes.iter().filter(|it| it.protocol == PROTOCOL).cloned().collect::<Vec<_>>();
        match which.index(observed.rules.len() + marked.len() + 1) {
            0 => observed.firewall = None,
            it if it <= observed.rules.len() => { observed.rules.remove(it - 1); }
            it => { let route = &marked[it - 1 - observed.rules.len()]; observed.routes.retain(|other| other != route); }
        }
        let steps = plan(&desired, &observed).steps;
        prop_assert_eq!(steps.len(), 1);
        apply(&mut observed, &steps[0]);
        prop_assert_eq!(sorted(observed), sorted(before));
    }

    #[test]
    fn the_robots_hosts_never_fall_through_to_the_uplink((desired, mut observed) in world()) {
        for step in plan(&desired, &observed).steps {
            apply(&mut observed, &step);
        }
        let stop = observed.routes.iter().any(|it| it.table == ROBOT_TABLE && it.destination.prefix_len() == 0 && it.interface.is_none());
        prop_assert!(stop);
        for host in &desired.robot_hosts {
            prop_assert!(observed.rules.iter().any(|it| it.to == Some(*host) && it.table == Some(ROBOT_TABLE)), "{host}");
        }
    }
}

fn show(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

fn sorted(mut observed: Observed) -> Observed {
    observed.rules.sort();
    observed.routes.sort();
    observed
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn name(text: &str) -> InterfaceName {
    InterfaceName::parse(text).unwrap()
}

/// Each interface that there may be: its bus and kind, and its address on the wire.
const INTERFACES: [(&str, Option<&str>, DeviceKind); 8] = [
    ("eth0", Some("platform"), DeviceKind::Ethernet),
    ("eth1", Some("pci"), DeviceKind::Ethernet),
    ("wlan0", Some("sdio"), DeviceKind::Wifi),
    ("wlan1", Some("usb"), DeviceKind::Wifi),
    ("wlan2", Some("usb"), DeviceKind::Wifi),
    ("usb0", Some("usb"), DeviceKind::Ethernet),
    ("veth0", None, DeviceKind::Ethernet),
    ("wwan0", Some("usb"), DeviceKind::Modem),
];
const ADDRESSES: [&str; 12] = [
    "192.168.50.21/24",
    "192.168.50.20/24",
    "192.168.50.22/24",
    "192.168.50.3/24",
    "192.168.50.77/24",
    "10.0.0.21/24",
    "10.0.0.20/24",
    "10.37.0.9/8",
    "172.16.5.9/16",
    "100.64.0.7/32",
    "192.168.7.7/31",
    "169.254.3.3/16",
];

fn world() -> impl Strategy<Value = (Desired, Observed)> {
    (settings(), observed())
}

fn settings() -> impl Strategy<Value = Desired> {
    let network = subsequence(
        vec![
            "layout = \"rear\"",
            "own_address = \"10.0.0.77\"",
            "apn = \"internet.example\"",
            "country = \"DE\"",
            "open = [\"ssh\"]",
        ],
        0..=5,
    );
    let robot = option::weighted(
        0.2,
        one_of(vec!["eth0", "veth0", "usb0", "gone", "02:00:00:00:00:01"]),
    );
    let uplink = option::weighted(
        0.3,
        one_of(vec![
            "eth0",
            "veth0",
            "wlan2",
            "cdc-wdm0",
            "gone",
            "02:00:00:00:00:03",
        ]),
    );
    let wifi = subsequence(
        vec![
            "[[wifi]]\nssid = \"Lab\"\npassphrase = \"planted 1\"\n",
            "[[wifi]]\nssid = \"Attic\"\npassphrase = \"planted 2\"\nhidden = true\n",
            "[[wifi]]\nssid = \"Demo\"\n",
        ],
        0..=3,
    );
    let right = "settings that are right";
    (network, robot, uplink, wifi).prop_filter_map(right, |(mut network, robot, uplink, wifi)| {
        let robot = robot.map(|it| format!("robot_interface = \"{it}\""));
        let uplink = uplink.map(|it| format!("uplink_interface = \"{it}\""));
        network.extend(robot.as_deref());
        network.extend(uplink.as_deref());
        desired_of(&format!("[network]\n{}\n{}", network.join("\n"), wifi.concat()))
    })
}

fn observed() -> impl Strategy<Value = Observed> {
    let links = subsequence((0..INTERFACES.len()).collect::<Vec<_>>(), 0..=INTERFACES.len())
        .prop_flat_map(|which| which.into_iter().map(link).collect::<Vec<_>>());
    let named = |rest| (one_of(INTERFACES.map(|it| it.0).to_vec()), rest);
    let addresses = vec(named(one_of(ADDRESSES.to_vec())), 0..6).prop_map(|list| {
        let list: BTreeSet<_> = list.into_iter().collect();
        list.into_iter()
            .map(|(interface, address)| Address {
                interface: name(interface),
                address: net(address),
            })
            .collect::<Vec<_>>()
    });
    let country = option::of(one_of(vec!["DE", "00"]))
        .prop_map(|it| it.map(|it| CountryCode::try_from(it.to_owned()).unwrap()));
    let firewall = option::of(Just("table inet spotstream {\n}\n".to_owned()));
    (
        links,
        addresses,
        vec(route(), 0..6),
        vec(rule(), 0..6),
        firewall,
        country,
        option::weighted(0.9, managed()),
        sightings(),
    )
        .prop_map(
            |(links, addresses, routes, rules, firewall, country, manager, sightings)| Observed {
                links,
                addresses,
                routes: routes.into_iter().collect::<BTreeSet<_>>().into_iter().collect(),
                rules: rules.into_iter().collect::<BTreeSet<_>>().into_iter().collect(),
                firewall,
                country,
                manager,
                sightings,
            },
        )
}

fn link(which: usize) -> impl Strategy<Value = Link> {
    let (text, bus, _) = INTERFACES[which];
    let index = u8::try_from(which).unwrap();
    (any::<bool>(), 0u32..3, any::<bool>()).prop_map(move |(carrier, rp_filter, wears_another)| Link {
        index: u32::from(index) + 2,
        name: name(text),
        mac: MacAddress([2, 0, 0, 0, u8::from(wears_another), index]),
        permanent_mac: Some(MacAddress([2, 0, 0, 0, 0, index])),
        bus: bus.map(str::to_owned),
        up: true,
        carrier,
        losses: 0,
        conf: LinkConf {
            rp_filter,
            ..LinkConf::default()
        },
    })
}

fn managed() -> impl Strategy<Value = Manager> {
    let devices = subsequence((0..INTERFACES.len()).collect::<Vec<_>>(), 4..=INTERFACES.len())
        .prop_flat_map(|which| which.into_iter().map(one_device).collect::<Vec<_>>());
    (devices, vec(stored(), 0..5)).prop_map(|(devices, mut profiles)| {
        let mut known = BTreeSet::new();
        profiles.retain(|it| known.insert(it.uuid));
        Manager { devices, profiles }
    })
}

fn one_device(which: usize) -> impl Strategy<Value = Device> {
    let (text, _, kind) = INTERFACES[which];
    let is_modem = kind == DeviceKind::Modem;
    (
        one_of(vec![10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 100, 110, 120]),
        one_of(vec![0, 2, 5, 7, 8, 15, 31, 35, 39, 40, 45, 53, 60, 64]),
        option::of(prop_oneof![
            profile().prop_map(|it| it.uuid()),
            Just(Uuid::from_u128(7))
        ]),
        option::of(one_of(vec![5, 7, 8, 11, 15, 53])),
        subsequence(vec!["Lab", "Demo", "Cafe"], 0..=3),
        option::of(one_of(vec![
            "172.16.0.1",
            "192.168.50.3",
            "192.168.50.21",
            "10.0.0.1",
        ])),
    )
        .prop_map(
            move |(state, state_reason, profile, failure, seen, gateway)| Device {
                interface: name(if is_modem { "cdc-wdm0" } else { text }),
                kind,
                state,
                state_reason,
                failure,
                profile: profile.filter(|_| (40..=110).contains(&state)),
                ip_interface: is_modem.then(|| name(text)),
                seen: seen
                    .into_iter()
                    .map(|it| Ssid::try_from(it.to_owned()).unwrap())
                    .collect(),
                gateway: gateway.map(|it| it.parse().unwrap()),
                name_servers: Vec::new(),
                dhcp_server: None,
            },
        )
}

fn stored() -> impl Strategy<Value = StoredProfile> {
    (profile(), any::<bool>(), any::<Option<u128>>()).prop_map(|(profile, is_clear, other)| StoredProfile {
        uuid: other.map_or_else(|| profile.uuid(), Uuid::from_u128),
        profile: is_clear.then_some(profile),
    })
}

fn profile() -> impl Strategy<Value = Profile> {
    let networks =
        desired_of("[[wifi]]\nssid = \"Lab\"\npassphrase = \"planted 1\"\n[[wifi]]\nssid = \"Old\"\n")
            .unwrap()
            .wifi;
    let kinds = vec![
        Kind::Robot(RobotAddress::Dhcp),
        Kind::Robot(RobotAddress::Static(net("192.168.50.21/24"))),
        Kind::Robot(RobotAddress::Static(net("10.0.0.20/24"))),
        Kind::Robot(RobotAddress::Static(net("198.51.100.1/24"))),
        Kind::Wifi(networks[0].clone()),
        Kind::Wifi(networks[1].clone()),
        Kind::Ethernet,
        Kind::Modem {
            apn: "internet.example".to_owned(),
        },
    ];
    let interface = option::of(one_of(vec!["eth0", "eth1", "wlan1", "usb0", "gone"]));
    (interface, one_of(kinds)).prop_map(|(interface, kind)| Profile {
        interface: interface.map(name),
        kind,
    })
}

fn route() -> impl Strategy<Value = Route> {
    (
        one_of(vec![MAIN_TABLE, ROBOT_TABLE]),
        one_of(vec!["0.0.0.0/0", "192.168.50.0/24", "172.16.0.0/16"]),
        option::of(one_of(vec!["eth0", "wlan1", "usb0"])),
        option::of(one_of(vec!["172.16.0.1", "192.168.50.3"])),
        option::of(one_of(vec!["192.168.50.21", "172.16.5.9"])),
        one_of(vec![0, 100, 600, u32::MAX]),
        one_of(vec![2, 4, 16, PROTOCOL]),
    )
        .prop_map(
            |(table, destination, interface, gateway, source, metric, protocol)| Route {
                table,
                destination: net(destination),
                gateway: gateway
                    .filter(|_| interface.is_some())
                    .map(|it| it.parse().unwrap()),
                interface: interface.map(name),
                source: source.map(|it| it.parse().unwrap()),
                metric,
                protocol,
            },
        )
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        one_of(vec![100, 102, 103, 104, 106, 107, 110, 111, 120, 121]),
        option::of(one_of(vec!["192.168.50.21", "172.16.5.9"])),
        option::of(one_of(vec!["192.168.50.3", "192.168.50.9"])),
        option::of(one_of(vec!["eth0", "wlan1"])),
        option::of(one_of(vec![MAIN_TABLE, ROBOT_TABLE])),
    )
        .prop_map(|(priority, from, to, oif, table)| Rule {
            priority,
            from: from.map(|it| it.parse().unwrap()),
            to: to.map(|it| it.parse().unwrap()),
            oif: oif.map(name),
            service: None,
            table,
        })
}

fn sightings() -> impl Strategy<Value = Sightings> {
    let hosts = vec![
        "192.168.50.3",
        "192.168.50.6",
        "10.0.0.3",
        "192.168.50.21",
        "192.168.50.20",
        "192.168.50.22",
        "10.0.0.21",
    ];
    (any::<bool>(), subsequence(hosts, 0..=7), any::<bool>()).prop_map(|(complete, hosts, silent)| {
        Sightings {
            complete,
            answers: hosts
                .into_iter()
                .map(|it| (it.parse().unwrap(), MacAddress([2; 6])))
                .collect(),
            silent,
        }
    })
}

fn desired_of(settings: &str) -> Option<Desired> {
    let loaded = check_bytes(Path::new("desired.toml"), settings.as_bytes());
    loaded.ok().map(|loaded| loaded.desired)
}
