"""Where webhooks may go."""

import pytest

from batchyard.rules.addresses import Fence, Ground, ground_of


@pytest.mark.parametrize(
    ("ground", "addresses"),
    [
        ("public", "8.8.8.8 1.1.1.1 2606:4700:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808"),
        ("private", "127.0.0.1 10.1.2.3 172.31.0.1 192.168.0.1 100.64.0.1 ::1 fd00::1"),
        ("private", "::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::a00:1 2002:7f00:1::"),
        ("forbidden", "169.254.169.254 0.0.0.0 224.0.0.1 240.0.0.1 255.255.255.255 192.0.0.192"),
        ("forbidden", "100.100.100.200 168.63.129.16 192.0.2.1 198.18.0.1 203.0.113.9"),
        ("forbidden", ":: fe80::1 fe80::1%eth0 fec0::1 ff02::1 2001:db8::1 fd00:ec2::254"),
        ("forbidden", "64:ff9b::a9fe:a9fe ::ffff:169.254.169.254 2002:a9fe:a9fe:: 64:ff9b:1::1"),
        ("forbidden", "2001:0:a9fe:a9fe:: example.com 127.1 300.1.1.1 1.2.3"),
    ],
)
def test_grounds(ground: Ground, addresses: str) -> None:
    """Each kind of address, also inside another."""
    assert dict.fromkeys(addresses.split(), ground) == {
        one: ground_of(one) for one in addresses.split()
    }


def test_only_tls_to_the_internet_by_default() -> None:
    """Other schemes, ports and grounds are out of bounds."""
    fence = Fence()
    assert fence.lets("https", "example.com", 443, "8.8.8.8")
    assert not fence.lets("http", "example.com", 80, "8.8.8.8")
    assert not fence.lets("https", "example.com", 25, "8.8.8.8")
    assert not fence.lets("https", "example.com", 443, "127.0.0.1")
    assert not fence.lets("https", "localhost", 443, "8.8.8.8")


def test_private_means_this_machine_and_its_networks() -> None:
    """What nobody has business with stays forbidden."""
    fence = Fence(private=True)
    assert fence.lets("http", "localhost", 9000, "127.0.0.1")
    assert not fence.lets("http", "metadata", 80, "169.254.169.254")


def test_named_hosts_may_be_anywhere() -> None:
    """They, on the port that is named with them, and no others."""
    fence = Fence(hosts=("hooks.local", "box:9000"))
    assert fence.lets("http", "hooks.local", 1234, "169.254.1.1")
    assert fence.lets("http", "box", 9000, "10.0.0.1")
    assert not fence.lets("http", "box", 9001, "10.0.0.1")
    assert not fence.lets("https", "other", 443, "10.0.0.1")
