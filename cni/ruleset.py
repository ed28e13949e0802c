"""The one nftables table that Podwright has: made once, never changed; pods come and go as elements.

    hostports<v>      protocol . port           -> pod address . port     any local address of the host but
                                                                          127.0.0.2 and what follows it
    hostports<v>_at   address . protocol . port -> pod address . port     one host address
    targets4          pod address               pods with host ports: reachable from 127.0.0.1
    target_links<v>   pod address . interface   flows that came in there and go back there: masqueraded,
                                                so that the answer takes the same way (a pod's own port)
    loops<v>          pod address . itself      the same where the bridge itself runs the rules (br_netfilter)
                                                and the rule cannot see where a packet came in
    masquerade<v>     pod address               what leaves the pod's link gets the host's address
    own_links<v>      pod address . interface   except when it leaves through this one

Packets from outside to 127.0.0.0/8 are dropped: route_localnet on a bridge would let them in (CVE-2020-8558).
"""

TABLE = "podwright"

HOSTPORT_SETS = (
    "hostports4",
    "hostports6",
    "hostports4_at",
    "hostports6_at",
    "targets4",
    "target_links4",
    "target_links6",
    "loops4",
    "loops6",
)
MASQUERADE_SETS = ("masquerade4", "masquerade6", "own_links4", "own_links6")

RULESET = """\
table inet podwright {
    map hostports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
    map hostports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
    map hostports4_at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
    map hostports6_at { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
    set targets4 { type ipv4_addr; }
    set target_links4 { type ipv4_addr . ifname; }
    set target_links6 { type ipv6_addr . ifname; }
    set loops4 { type ipv4_addr . ipv4_addr; }
    set loops6 { type ipv6_addr . ipv6_addr; }
    set masquerade4 { type ipv4_addr; }
    set masquerade6 { type ipv6_addr; }
    set own_links4 { type ipv4_addr . ifname; }
    set own_links6 { type ipv6_addr . ifname; }
    chain hostports { }
    chain guard { type filter hook prerouting priority -300; policy accept; }
    chain before_routing { type nat hook prerouting priority -100; policy accept; }
    chain local_out { type nat hook output priority -100; policy accept; }
    chain after_routing { type nat hook postrouting priority 100; policy accept; }
}
flush chain inet podwright hostports
flush chain inet podwright guard
flush chain inet podwright before_routing
flush chain inet podwright local_out
flush chain inet podwright after_routing
table inet podwright {
    chain hostports {
        dnat ip to ip daddr . meta l4proto . th dport map @hostports4_at
        dnat ip6 to ip6 daddr . meta l4proto . th dport map @hostports6_at
        dnat ip to meta l4proto . th dport map @hostports4
        dnat ip6 to meta l4proto . th dport map @hostports6
    }
    chain guard {
        iifname != "lo" ip daddr 127.0.0.0/8 drop
    }
    chain before_routing {
        fib daddr type local jump hostports
    }
    chain local_out {
        ip daddr 127.0.0.0/8 ip daddr != 127.0.0.1 return
        fib daddr type local jump hostports
    }
    chain after_routing {
        ct status dnat ip saddr 127.0.0.0/8 ip daddr @targets4 masquerade
        ct status dnat ip daddr . iifname @target_links4 masquerade
        ct status dnat ip6 daddr . iifname @target_links6 masquerade
        ct status dnat ip daddr . ip saddr @loops4 masquerade
        ct status dnat ip6 daddr . ip6 saddr @loops6 masquerade
        ip saddr . oifname @own_links4 return
        ip6 saddr . oifname @own_links6 return
        ip saddr @masquerade4 ip daddr != 224.0.0.0/4 masquerade
        ip6 saddr @masquerade6 ip6 daddr != ff00::/8 masquerade
    }
}
"""
