//! DHCPINFORM against a real kernel, in network namespaces of their own: dnsmasq as the server, tcpdump as the judge of
//! what is sent.
#![expect(clippy::unwrap_used, reason = "a test that is surprised has failed")]

mod world;

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netsetup::edge::dhcp_inform::{Error, portal};
use netsetup_core::engine::Lease;
use netsetup_core::names::{InterfaceName, MacAddress};
use world::{Namespace, Program, as_nobody, in_namespace, run, wait_until};

const OWN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// On the way to nowhere.
const LOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
const URI: &str = "https://portal.example/api";
const OPTION: &str = "--dhcp-option=114,https://portal.example/api";

/// The uplink, with a server's namespace at its other end.
fn plug_in() -> Namespace {
    let network = Namespace::new();
    run("ip link add wlan0 address 02:00:00:00:00:01 type veth peer name campus");
    network.take("campus");
    run("ip address add 198.51.100.20/24 dev wlan0");
    run("ip link set wlan0 addrgenmode none up");
    network.run("ip address add 198.51.100.1/24 dev campus");
    network.run("ip link set campus up");
    world::wait_for_carrier("wlan0");
    run("ip route add default via 198.51.100.1 dev wlan0");
    network
}

fn serve(network: &Namespace, command: &mut Command) -> Program {
    let program = Program::start(command.stdout(Stdio::null()));
    wait_until("the server listens", || {
        network.run_with("ss", &["-Hlnu"]).contains(":67 ")
    });
    program
}

fn dnsmasq(network: &Namespace, more: &[&str]) -> Program {
    let mut dnsmasq = network.command("dnsmasq");
    dnsmasq
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root"])
        .args(["--pid-file=", "--port=0", "--leasefile-ro"])
        .args(["--dhcp-range=198.51.100.0,static"])
        .args(more);
    serve(network, &mut dnsmasq)
}

/// A server of a few lines, which answers every `asked` as `answers(asked)` lists them.
fn python(network: &Namespace, answers: &str) -> Program {
    let program = format!(
        "import socket
def answer(asked, uri, xid=None, client=None, address=None, kind=5):
    option = bytes([53, 1, kind, 114, len(uri)]) + uri + b'\\xff'
    return (b'\\2\\1\\6\\0' + (xid or asked[4:8]) + bytes(4) + (address or asked[12:16]) + bytes(12)
        + (client or asked[28:34]) + bytes(202) + b'\\x63\\x82\\x53\\x63' + option)
def answers(asked):
    {answers}
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'campus')
server.bind(('', 67))
while True:
    asked, who = server.recvfrom(2000)
    for where, what in answers(asked): server.sendto(what, (where or who[0], 68))"
    );
    serve(network, network.command("python3").args(["-c", &program]))
}

async fn asked_of(server: Ipv4Addr) -> Result<Option<String>, Error> {
    let client = MacAddress([2, 0, 0, 0, 0, 1]);
    portal(
        &InterfaceName::parse("wlan0").unwrap(),
        OWN,
        &Lease { server, client },
    )
    .await
}

async fn asked() -> Option<String> {
    asked_of(SERVER).await.unwrap()
}

#[test]
fn dnsmasq_names_the_portal_to_who_asks_for_it() {
    in_namespace(async {
        let network = plug_in();
        let _dnsmasq = dnsmasq(&network, &[OPTION]);
        let start = Instant::now();
        assert_eq!(asked().await.as_deref(), Some(URI));
        assert!(start.elapsed() < Duration::from_millis(700));
        // A server that cannot be reached by its name is reached as everybody is.
        assert_eq!(asked_of(LOST).await.unwrap().as_deref(), Some(URI));
        run("ip route del default");
        assert_eq!(asked_of(LOST).await.unwrap().as_deref(), Some(URI));
    });
}

#[test]
fn a_server_that_names_no_portal_or_says_there_is_none_is_understood() {
    in_namespace(async {
        let network = plug_in();
        drop({
            let dnsmasq = dnsmasq(&network, &[]);
            assert_eq!(asked().await, None);
            dnsmasq
        });
        let unrestricted = "--dhcp-option=114,urn:ietf:params:capport:unrestricted";
        let _dnsmasq = dnsmasq(&network, &[unrestricted]);
        assert_eq!(asked().await, None);
    });
}

#[test]
fn tcpdump_sees_an_inform_with_right_sums_to_the_server_and_then_to_everybody() {
    in_namespace(async {
        let network = plug_in();
        let capture = network.capture("campus", "udp port 67", &["-vvv", "-e", "-c2"]);
        assert!(asked_of(SERVER).await.is_err());
        let seen = capture.lines_to_the_end().join("\n");
        for (wanted, times) in [
            ("198.51.100.20.68 > 198.51.100.1.67: [udp sum ok]", 1),
            ("198.51.100.20.68 > 255.255.255.255.67: [udp sum ok]", 1),
            ("02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff", 1),
            ("bad", 0),
            ("proto UDP (17), length 328)", 2),
            ("Client-IP 198.51.100.20", 2),
            ("Client-Ethernet-Address 02:00:00:00:00:01", 2),
            ("DHCP-Message (53), length 1: Inform", 2),
            ("Parameter-Request (55), length 1", 2),
        ] {
            assert_eq!(seen.matches(wanted).count(), times, "{wanted}: {seen}");
        }
    });
}

#[test]
fn a_silent_server_costs_two_tries_and_nobody_there_no_more() {
    in_namespace(async {
        let network = plug_in();
        let _silent = python(&network, "return []");
        for server in [SERVER, LOST] {
            let start = Instant::now();
            let error = asked_of(server).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.is_retryable()),
                ("dhcp-inform-silent", true),
                "{error}"
            );
            assert!(
                start.elapsed() < Duration::from_millis(1700),
                "{:?}",
                start.elapsed()
            );
        }
        run("ip link set wlan0 down");
        let error = asked_of(SERVER).await.unwrap_err();
        assert_eq!(error.kind(), "dhcp-inform-socket", "{error}");
        run("ip link delete wlan0");
        let error = asked_of(SERVER).await.unwrap_err();
        assert_eq!(error.kind(), "dhcp-inform-socket", "{error}");
    });
}

#[test]
fn answers_to_others_refusals_and_noise_are_passed_over() {
    in_namespace(async {
        let network = plug_in();
        let answers = "import os
    good = answer(asked, b'https://portal.example/api')
    return [(None, it) for it in (
        answer(asked, b'http://wrong.example/1', xid=b'\\1\\2\\3\\4'),
        answer(asked, b'http://wrong.example/2', client=bytes(6)),
        answer(asked, b'http://wrong.example/3', address=b'\\xc6\\x33\\x64\\x15'),
        answer(asked, b'http://wrong.example/4', kind=6),
        asked, b'', os.urandom(1400), good[:-1], good[:250], good)]";
        let _server = python(&network, answers);
        assert_eq!(asked().await.as_deref(), Some(URI));
    });
}

#[test]
fn a_second_try_and_an_answer_to_everybody_are_enough() {
    in_namespace(async {
        let network = plug_in();
        let answers = "seen = globals().setdefault('seen', []); seen.append(asked)
    return [('255.255.255.255', answer(asked, b'https://portal.example/api'))] * (len(seen) - 1)";
        let _server = python(&network, answers);
        assert_eq!(asked().await.as_deref(), Some(URI));
    });
}

#[test]
fn the_firewall_lets_the_question_out_and_the_answer_in() {
    in_namespace(async {
        let network = plug_in();
        let _dnsmasq = dnsmasq(&network, &[OPTION]);
        let rules = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/dist/usr/share/spotstream/netsetup.nft"
        );
        run(&format!("nft -f {rules}"));
        run("nft add element inet spotstream uplink { wlan0 }");
        // To conntrack, what one server answers to a question to everybody is no answer. Once it knows the server, it is.
        assert_eq!(asked_of(LOST).await.unwrap().as_deref(), Some(URI));
        assert_eq!(asked().await.as_deref(), Some(URI));
    });
}

#[test]
fn who_holds_the_port_as_networkmanager_does_keeps_the_kernel_from_refusing_the_answer() {
    in_namespace(async {
        let network = plug_in();
        let _dnsmasq = dnsmasq(&network, &[OPTION]);
        for (is_held, wanted) in [(false, "udp port 68 unreachable"), (true, "198.51.100.1.7:")] {
            let _held = is_held.then(|| {
                let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
                let at = |address, port| std::net::SocketAddr::from((address, port)).into();
                client.bind(&at(OWN, 68)).unwrap();
                client.connect(&at(SERVER, 67)).unwrap();
                client
            });
            let capture = network.capture("campus", "icmp or tcp port 7", &["-c1"]);
            assert_eq!(asked().await.as_deref(), Some(URI));
            // A wire keeps the order: whatever went before the last packet is seen first.
            assert!(tokio::net::TcpStream::connect((SERVER, 7)).await.is_err());
            let seen = capture.lines_to_the_end();
            assert!(seen[0].contains(wanted), "{seen:?}");
        }
    });
}

#[test]
fn an_ordinary_user_needs_cap_net_raw_and_nothing_else() {
    let name = "an_ordinary_user_needs_cap_net_raw_and_nothing_else";
    if let Some(capabilities) = world::capabilities_as_nobody() {
        return world::on_a_runtime(async {
            if capabilities == "net_raw" {
                assert_eq!(asked().await.as_deref(), Some(URI));
            } else {
                let error = asked_of(SERVER).await.unwrap_err();
                assert_eq!(
                    (error.kind(), error.is_retryable()),
                    ("dhcp-inform-not-permitted", false)
                );
                assert_eq!(
                    error.to_string(),
                    "failed to ask the DHCP server on 'wlan0': this needs the capability CAP_NET_RAW"
                );
            }
        });
    }
    in_namespace(async move {
        let network = plug_in();
        let _dnsmasq = dnsmasq(&network, &[OPTION]);
        as_nobody(name, "net_raw");
        as_nobody(name, "net_admin");
        as_nobody(name, "");
    });
}
