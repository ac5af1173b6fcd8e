"""The guard against addresses that are not public."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UnsafeAddress
from app.tools.addresses import check_url, is_public

PUBLIC = [
    "https://www.python.org/",
    "http://docs.example.com:8080/a?b=c#d",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "https://[64:ff9b::808:808]/",
    "https://python.org:443/",
    "https://docs.example.co.uk:8443/",
    "https://python.org./",
    "https://a_b.example.org/",
    "https://blog.google/",
    "https://xn--e1afmkfd.xn--p1ai/",
    "https://fr.wikipedia.org/wiki/Énergie_marémotrice",
    "https://zh.wikipedia.org/wiki/潮汐能",
    # Names that only look like the refused ones.
    "https://en.encyclopedia.example/tides",
    "https://mail.google.com/",
    "https://home.cern/",
    "https://test.org/",
    "https://svc.example.org/",
    "https://notnip.io/",
    "https://1-2-3-4.example.org/",
    "https://version-4-0-0-999.example.org/",
]
UNSAFE = [
    "",
    "python.org",
    "//python.org",
    "ftp://python.org/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "gopher://python.org/",
    "http://",
    "http://localhost/",
    "http://a.localhost/",
    "http://printer.local/",
    "http://metadata.google.internal/",
    "http://intranet/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://10.0.0.5/",
    "http://172.16.9.9/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://0.0.0.0/",
    "http://255.255.255.255/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://192.0.2.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[not-an-address]/",
    "http://user:secret@python.org/",
    "http://python.org@127.0.0.1/",
    "http://python.org\\@127.0.0.1/",
    "http://python.org/\r\nHost: localhost",
    "http://python.org:99999/",
    "http://пример.рф/",
    "http://ⓛocalhost/",
    "http://127。0。0。1/",
    "http://-bad.org/",
    "http://bad-.org/",
    # Names inside of clusters and other networks.
    "http://kubernetes.default/",
    "http://kubernetes.default.svc/",
    "http://kubernetes.default.svc./",
    "http://KUBERNETES.DEFAULT.SVC/",
    "http://kubernetes.default.svc.cluster.local/",
    "http://api.team.svc.corp.example/",
    "http://10-1-0-7.team.pod.corp.example/",
    "http://redis.kube-system/",
    "http://grafana.k8s/",
    "http://vault.service.consul/",
    "http://host.docker.internal/",
    "http://localhost.localdomain/",
    "http://router.lan/",
    "http://wiki.intra/",
    "http://wiki.private/",
    "http://wiki.corp/",
    "http://wiki.test/",
    "http://wiki.invalid/",
    "http://wiki.alt/",
    "http://wiki.onion/",
    "http://router.home.arpa/",
    "http://1.0.0.127.in-addr.arpa/",
    "http://db.x/",
    # Public names that lead to private addresses.
    "http://nip.io/",
    "http://10.0.0.1.nip.io/",
    "http://7f000001.nip.io/",
    "http://127-0-0-1.sslip.io/",
    "http://a.127.0.0.1.xip.io/",
    "http://7f000001.c0a80001.rbndr.us/",
    "http://localtest.me/",
    "http://app.lvh.me/",
    "http://fe80--1.ipv6-literal.net/",
    "http://127.0.0.1.example.org/",
    "http://app-10-1-2-3.example.org/",
    "http://ip-10-0-0-1.eu-west-1.compute.amazonaws.com/",
    "http://1.10.0.0.1.example.org/",
    # Addresses that only look public.
    "http://168.63.129.16/metadata",
    "http://[::ffff:168.63.129.16]/",
    "http://192.0.0.192/opc/v2/",
    "http://192.0.0.9/",
    "http://192.88.99.1/",
    "http://[fec0::1]/",
    "http://[3fff::1]/",
    "http://[2001:db8::1]/",
    "http://[5f00::1]/",
    "http://[4000::1]/",
    "http://[64:ff9b:1::1]/",
    "http://[::ffff:0:7f00:1]/",
    # Ports of other services.
    "http://python.org:0/",
    "http://python.org:22/",
    "http://python.org:25/",
    "http://python.org:81/",
    "http://python.org:6379/",
    "http://python.org:27017/",
    # Characters that hide what an address is.
    "http://python.org/\u202egpj.exe",
    "http://python.org/\u2066a\u2069",
    "http://python.org/a\u200bb",
    "http://python.org/a\u200db",
    "http://python.org/a\u00adb",
    "http://python.org/a\ufeffb",
    "http://python.org/a\u00a0b",
    "http://python.org/a\u3000b",
    "http://python.org/a\u2028b",
    "http://python.org/a\x85b",
    "http://python.org/a\U000e0041b",
    "http://python.org/?q=\u202ea",
    "http://python.org/#\u202ea",
    "https://python.org/" + "a" * 3_000,
]


@pytest.mark.parametrize("url", PUBLIC)
def test_public_address_passes(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("url", UNSAFE)
def test_unsafe_address_is_refused(url: str) -> None:
    with pytest.raises(UnsafeAddress):
        check_url(url)


@given(st.text(max_size=60))
def test_nothing_but_unsafe_address_is_raised(text: str) -> None:
    for url in (text, f"http://{text}/"):
        with contextlib.suppress(UnsafeAddress):
            check_url(url)


@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="127.0.0.0/8"))
def test_private_address_is_never_public_in_any_dress(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | int(address) << 80)
    for dressed in (address, mapped, six_to_four):
        assert not is_public(dressed)


@given(
    st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="127.0.0.0/8"),
    st.sampled_from(".-"),
    st.sampled_from(["", "a.", "a-", "7."]),
)
def test_a_name_that_spells_a_private_address_is_refused(
    address: ipaddress.IPv4Address, mark: str, before: str
) -> None:
    with pytest.raises(UnsafeAddress):
        check_url(f"http://{before}{str(address).replace('.', mark)}.example.org/")


@given(st.ip_addresses(v=6).filter(lambda address: int(address) >> 125 != 1))
def test_nothing_outside_of_the_global_part_of_ipv6_is_public(address: ipaddress.IPv6Address) -> None:
    carries_ipv4 = address.ipv4_mapped is not None or address in ipaddress.ip_network("64:ff9b::/96")
    assert carries_ipv4 or not is_public(address)
