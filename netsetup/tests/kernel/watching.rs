use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use netsetup::edge::firewall;
use netsetup::edge::netlink::{Kernel, Notice, Watch};
use netsetup_core::plan::Step;
use netsetup_core::routing::{ROBOT_TABLE, Rule};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::world::{address, apply_all, dead_end, in_new_namespace, ip, name, plug_in, route, rule};

const SOON: Duration = Duration::from_secs(5);

async fn watching() -> (Kernel, Watch) {
    plug_in();
    // Notices that are read together come by name: the mark comes last.
    ip("link add zz-mark type veth peer name far-zz-mark");
    ip("link set zz-mark up");
    let kernel = Kernel::open().unwrap();
    let watch = kernel.watch().await.unwrap();
    (kernel, watch)
}

/// The next notice that is not of our own making.
async fn next(watch: &mut Watch) -> Notice {
    loop {
        let notice = any(watch).await;
        if !is_mark(&notice) {
            return notice;
        }
    }
}

async fn any(watch: &mut Watch) -> Notice {
    timeout(SOON, watch.next())
        .await
        .expect("no notice came")
        .unwrap()
}

/// Takes all that the kernel has told: up to a mark that is made now, and made again where the kernel had no room.
async fn settle(watch: &mut Watch) -> Vec<Notice> {
    let mut notices = Vec::new();
    loop {
        let mark = mark();
        loop {
            let notice = any(watch).await;
            if notice == mark {
                return notices;
            }
            let was_change = notice == Notice::Changed;
            if !is_mark(&notice) {
                notices.push(notice);
            }
            if was_change {
                break;
            }
        }
    }
}

fn is_mark(notice: &Notice) -> bool {
    matches!(notice, Notice::NeighbourFailed(link, _) if *link == name("zz-mark"))
}

fn mark() -> Notice {
    static MARKS: AtomicU8 = AtomicU8::new(0);
    let host = format!("192.0.2.{}", MARKS.fetch_add(1, Ordering::Relaxed));
    ip(&format!(
        "neigh replace {host} lladdr 02:00:00:00:00:99 dev zz-mark nud reachable"
    ));
    ip(&format!("neigh replace {host} dev zz-mark nud failed"));
    Notice::NeighbourFailed(name("zz-mark"), address(&host))
}

#[test]
fn a_flap_an_address_a_rule_a_route_and_the_firewall_are_noticed_each() {
    in_new_namespace(async || {
        let (kernel, mut watch) = watching().await;
        let the_rule = Rule {
            to: Some(address("192.168.50.3")),
            ..rule(120, ROBOT_TABLE)
        };
        let steps: [(&str, &dyn Fn()); 9] = [
            ("carrier lost", &|| drop(ip("link set far-robot down"))),
            ("carrier back", &|| drop(ip("link set far-robot up"))),
            ("link down", &|| drop(ip("link set robot down"))),
            ("link up", &|| drop(ip("link set robot up"))),
            ("address added", &|| {
                drop(ip("addr add 192.168.50.21/24 dev robot"))
            }),
            ("address deleted", &|| {
                drop(ip("addr del 192.168.50.21/24 dev robot"))
            }),
            ("link renamed", &|| drop(ip("link set far-uplink name other"))),
            ("setting changed", &|| {
                std::fs::write("/proc/sys/net/ipv4/conf/robot/rp_filter", "1").unwrap()
            }),
            ("link deleted", &|| drop(ip("link del uplink"))),
        ];
        for (what, act) in steps {
            settle(&mut watch).await;
            act();
            assert_eq!(next(&mut watch).await, Notice::Changed, "{what}");
        }

        apply_all(&kernel, [Step::AddRule(the_rule), Step::AddRoute(dead_end())]).await;
        settle(&mut watch).await;
        ip("rule del pref 120");
        assert_eq!(next(&mut watch).await, Notice::Changed, "rule deleted");
        settle(&mut watch).await;
        ip("route flush table 21328");
        assert_eq!(next(&mut watch).await, Notice::Changed, "route deleted");

        firewall::load("table inet spotstream {}").await.unwrap();
        // The firewall's notices come by a socket of their own, in no order with the mark.
        assert_eq!(next(&mut watch).await, Notice::Changed, "table loaded");
        settle(&mut watch).await;
        let nft = std::process::Command::new("nft")
            .args(["delete", "table", "inet", "spotstream"])
            .status();
        assert!(nft.unwrap().success());
        assert_eq!(next(&mut watch).await, Notice::Changed, "table deleted");
    });
}

#[test]
fn a_host_that_does_not_answer_is_named_with_its_link_and_one_that_does_is_not() {
    in_new_namespace(async || {
        let (_, mut watch) = watching().await;
        ip("addr add 192.168.50.21/24 dev robot");
        settle(&mut watch).await;
        for state in ["reachable", "stale", "delay", "probe", "permanent"] {
            ip(&format!(
                "neigh replace 192.168.50.3 lladdr 02:00:00:00:00:03 dev robot nud {state}"
            ));
        }
        ip("neigh replace 2001:db8::3 dev robot nud failed");
        assert_eq!(settle(&mut watch).await, []);

        // A host that is forgotten is told as failed first.
        let failed = Notice::NeighbourFailed(name("robot"), address("192.168.50.3"));
        ip("neigh del 192.168.50.3 dev robot");
        assert_eq!(settle(&mut watch).await, std::slice::from_ref(&failed));

        let neigh = "/proc/sys/net/ipv4/neigh/robot";
        std::fs::write(format!("{neigh}/retrans_time_ms"), "10").unwrap();
        settle(&mut watch).await;
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(b"anybody?", "192.168.50.3:443").unwrap();
        assert_eq!(next(&mut watch).await, failed);
    });
}

#[test]
fn what_is_told_of_a_link_without_a_change_that_matters_is_no_notice() {
    in_new_namespace(async || {
        let (_, mut watch) = watching().await;
        settle(&mut watch).await;
        ip("link set robot mtu 1400");
        ip("link set robot txqueuelen 77");
        ip("link set robot alias somebody");
        assert_eq!(settle(&mut watch).await, []);
        ip("link set robot address 02:00:00:00:00:77");
        assert_eq!(next(&mut watch).await, Notice::Changed);
    });
}

/// Routes in the robot's table, made and taken away again.
async fn five_thousand_changes() -> tokio::process::Child {
    let mut stranger = tokio::process::Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = ["add", "del"].map(|verb| {
        let line = |n| {
            format!(
                "route {verb} 198.18.{}.{}/32 dev robot table 21328\n",
                n / 250,
                n % 250
            )
        };
        (0..2500).map(line).collect::<String>()
    });
    stranger
        .stdin
        .take()
        .unwrap()
        .write_all(lines.concat().as_bytes())
        .await
        .unwrap();
    stranger
}

#[test]
fn thousands_of_changes_in_a_row_are_few_notices() {
    in_new_namespace(async || {
        let (kernel, mut watch) = watching().await;
        settle(&mut watch).await;
        let begin = Instant::now();
        let mut notices = 0_u128;
        let mut stranger = five_thousand_changes().await;
        let ended = loop {
            tokio::select! {
                notice = next(&mut watch) => {
                    assert_eq!(notice, Notice::Changed);
                    notices += 1;
                }
                ended = stranger.wait() => break ended.unwrap(),
            }
        };
        assert!(ended.success());
        notices += settle(&mut watch).await.len() as u128;
        let most = begin.elapsed().as_millis() / 20 + 2;
        assert!(
            (1..=most).contains(&notices),
            "{notices} notices, at most {most} fit"
        );
        assert_eq!(kernel.observe().await.unwrap().routes, []);
    });
}

#[test]
fn a_flood_that_nobody_listened_to_is_one_change_and_the_listening_goes_on() {
    in_new_namespace(async || {
        let (kernel, mut watch) = watching().await;
        settle(&mut watch).await;
        assert!(five_thousand_changes().await.wait().await.unwrap().success());
        assert_eq!(next(&mut watch).await, Notice::Changed);
        settle(&mut watch).await;
        apply_all(&kernel, [Step::AddRoute(route("192.168.50.0/24", "robot"))]).await;
        assert_eq!(next(&mut watch).await, Notice::Changed);
    });
}
