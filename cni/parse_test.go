package cni

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types/create"
)

func TestValidatePorts(t *testing.T) {
	ip := netip.MustParseAddr
	tcp := func(host int32, addr string) PortMapping {
		p := PortMapping{Protocol: "tcp", ContainerPort: 80, HostPort: host}
		if addr != "" {
			p.HostIP = ip(addr)
		}
		return p
	}
	for name, tc := range map[string]struct {
		ports []PortMapping
		ok    bool
	}{
		"none":                   {nil, true},
		"one":                    {[]PortMapping{tcp(80, "")}, true},
		"highest":                {[]PortMapping{tcp(65535, "")}, true},
		"too high":               {[]PortMapping{tcp(65536, "")}, false},
		"negative":               {[]PortMapping{tcp(-1, "")}, false},
		"unpublished is ignored": {[]PortMapping{{Protocol: "quic", ContainerPort: -5}}, true},
		"no container port":      {[]PortMapping{{Protocol: "tcp", HostPort: 80}}, false},
		"protocol":               {[]PortMapping{{Protocol: "icmp", HostPort: 80, ContainerPort: 80}}, false},
		"upper case protocol":    {[]PortMapping{{Protocol: "TCP", HostPort: 80, ContainerPort: 80}}, false},
		"twice":                  {[]PortMapping{tcp(80, ""), tcp(80, "")}, true},
		"two protocols":          {[]PortMapping{tcp(80, ""), {Protocol: "udp", HostPort: 80, ContainerPort: 80}}, true},
		"address and all":        {[]PortMapping{tcp(80, "10.0.0.1"), tcp(80, "")}, true},
		"zone":                   {[]PortMapping{tcp(80, "fe80::1%eth0")}, false},
	} {
		err := ValidatePorts(tc.ports)
		if tc.ok && err != nil || !tc.ok && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOverlaps(t *testing.T) {
	at := func(protocol string, port int32, addr string) PortMapping {
		p := PortMapping{Protocol: protocol, ContainerPort: 80, HostPort: port}
		if addr != "" {
			p.HostIP = netip.MustParseAddr(addr)
		}
		return p
	}
	for name, tc := range map[string]struct {
		a, b PortMapping
		want bool
	}{
		"the same":                {at("tcp", 80, ""), at("tcp", 80, ""), true},
		"two ports":               {at("tcp", 80, ""), at("tcp", 81, ""), false},
		"two protocols":           {at("tcp", 80, ""), at("udp", 80, ""), false},
		"two addresses":           {at("tcp", 80, "10.0.0.1"), at("tcp", 80, "10.0.0.2"), false},
		"one address, two ways":   {at("tcp", 80, "10.0.0.1"), at("tcp", 80, "::ffff:10.0.0.1"), true},
		"address and all":         {at("tcp", 80, "10.0.0.1"), at("tcp", 80, ""), true},
		"address and any":         {at("tcp", 80, "0.0.0.0"), at("tcp", 80, "10.0.0.1"), true},
		"any of the other family": {at("tcp", 80, "::"), at("tcp", 80, "10.0.0.1"), false},
	} {
		if tc.a.Overlaps(tc.b) != tc.want || tc.b.Overlaps(tc.a) != tc.want {
			t.Errorf("%s: not %t", name, tc.want)
		}
	}
	if got := at("tcp", 80, "::1").String(); got != "[::1]:80/tcp" {
		t.Error(got)
	}
}

func TestCapabilities(t *testing.T) {
	att := Attachment{
		PodID: "id", Namespace: "ns", Name: "n", UID: "u",
		Ports: []PortMapping{
			{Protocol: "tcp", ContainerPort: 80, HostPort: 8080},
			{Protocol: "sctp", ContainerPort: 81, HostPort: 8081, HostIP: netip.MustParseAddr("::1")},
			{Protocol: "udp", ContainerPort: 82},
		},
		Annotations:  map[string]string{IngressBandwidthAnnotation: "1M", EgressBandwidthAnnotation: "2k"},
		DNS:          DNS{Servers: []string{"10.0.0.10"}, Searches: []string{"svc"}},
		CgroupParent: "/kubepods/x", Aliases: []string{"db"},
	}
	got, err := json.Marshal(att.capabilities([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"aliases":["db"],` +
		`"bandwidth":{"ingressRate":1000000,"ingressBurst":2147483647,"egressRate":2000,"egressBurst":2147483647},` +
		`"cgroupPath":"/kubepods/x","dns":{"servers":["10.0.0.10"],"searches":["svc"]},` +
		`"io.kubernetes.cri.pod-annotations":{"kubernetes.io/egress-bandwidth":"2k","kubernetes.io/ingress-bandwidth":"1M"},` +
		`"ipRanges":[[{"subnet":"10.1.0.0/24"}]],` +
		`"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},{"hostPort":8081,"containerPort":81,"protocol":"sctp","hostIP":"::1"}]}`
	if string(got) != want {
		t.Errorf("capabilities\n%s, want\n%s", got, want)
	}
	if got := (Attachment{}).capabilities(nil); len(got) != 0 {
		t.Errorf("an empty attachment has %v", got)
	}
	for _, bad := range []string{"", "x", "-1M", "1", "999", "2P", "1e30"} {
		att.Annotations = map[string]string{IngressBandwidthAnnotation: bad}
		if err := Validate(att); !errdefs.IsInvalidArgument(err) {
			t.Errorf("bandwidth %q: %v", bad, err)
		}
	}
}

func TestResultPicksThePodsInterface(t *testing.T) {
	res, err := create.CreateFromBytes([]byte(`{"cniVersion":"1.0.0",
		"interfaces":[{"name":"br","mac":"02:00:00:00:00:01"},{"name":"eth0","mac":"02:00:00:00:00:02"},
		              {"name":"eth0","mac":"02:00:00:00:00:03","sandbox":"/ns"},{"name":"net1","sandbox":"/ns"}],
		"ips":[{"interface":3,"address":"10.9.9.9/24"},{"interface":2,"address":"10.0.0.5/24","gateway":"10.0.0.1"},
		       {"address":"fd00::5/64"},{"interface":2,"address":"10.0.0.5/24"},{"interface":77,"address":"10.0.0.7/24"}],
		"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"},{"dst":"fd00::/8"}],"dns":{"nameservers":["10.0.0.2"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	for preference, want := range map[string]string{"cni": "10.0.0.5 fd00::5", "ipv4": "10.0.0.5 fd00::5", "ipv6": "fd00::5 10.0.0.5"} {
		r := &Result{}
		if err := r.add("n", "eth0", res, preference); err != nil {
			t.Fatal(err)
		}
		var ips []string
		for _, ip := range r.IPs {
			ips = append(ips, ip.String())
		}
		if got := strings.Join(ips, " "); got != want || r.MAC != "02:00:00:00:00:03" || len(r.Routes) != 2 || r.Routes[1].GW.IsValid() {
			t.Errorf("%s: %+v", preference, r)
		}
	}
	empty, err := create.CreateFromBytes([]byte(`{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/ns"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Result{}).add("n", "eth0", empty, "cni"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a result without address: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := func() Options {
		return Options{BinDirs: []string{"/opt/cni/bin"}, CacheDir: "/cache", Default: DefaultNetwork{Enabled: true, DataDir: "/ipam"}}
	}
	if _, err := good().withDefaults(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Options){
		"no bin dirs":    func(o *Options) { o.BinDirs = nil },
		"relative cache": func(o *Options) { o.CacheDir = "x" },
		"no data dir":    func(o *Options) { o.Default.DataDir = "" },
		"long bridge":    func(o *Options) { o.Default.Bridge = "elevenchars" },
		"backend":        func(o *Options) { o.Default.Backend = "ebpf" },
		"two IPv4 ranges": func(o *Options) {
			o.Default.Subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.1.0/24")}
		},
		"tiny range":    func(o *Options) { o.Default.Subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/31")} },
		"IP preference": func(o *Options) { o.IPPreference = "ipv5" },
		"confs":         func(o *Options) { o.MaxConfs = -1 },
	} {
		o := good()
		spoil(&o)
		if _, err := o.withDefaults(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseConfig: whatever a configuration file holds, it is refused or usable.
func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		simpleConf("a"), `{"name":"a","type":"bridge","ipam":{"type":"host-local"}}`, `{"plugins":null}`, `{"name":1}`, `[]`, ``,
		`{"cniVersions":["1.0.0","1.1.0","7.0.0"],"name":"a","plugins":[{"type":"x","capabilities":{"a":true}}]}`,
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, isList bool) {
		list, err := parseConfig(data, isList)
		if err != nil {
			return
		}
		n := &network{list: list}
		n.pluginTypes()
		masquerades(list)
		if again, err := parseConfig(list.Bytes, true); err != nil || again.Name != list.Name || len(again.Plugins) != len(list.Plugins) {
			t.Errorf("what DEL would read differs: %+v, %v", again, err)
		}
	})
}

// FuzzResult: whatever a plugin answers, the pod's result is an error or has an address.
func FuzzResult(f *testing.F) {
	for _, s := range []string{
		`{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.5/24"}]}`, `{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/24"}}`,
		`{"cniVersion":"1.1.0","interfaces":[null],"ips":[null],"routes":[null]}`, `null`, `{"cniVersion":"0.4.0","ips":[{"version":"6","address":"::/0","interface":-1}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		res, err := create.CreateFromBytes(data)
		if err != nil {
			return
		}
		r := &Result{}
		if err := r.add("n", "eth0", res, "ipv6"); err == nil && len(r.IPs) == 0 {
			t.Error("a result without an address was accepted")
		}
	})
}

// FuzzRecord: whatever is left of a record, reading it does not fail the pod.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"Version":1,"PodID":"a","Networks":[{"Name":"n","IfName":"eth0","Config":{"name":"n"}}]}`))
	f.Add([]byte(`{"Version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := parseRecord(data)
		if err != nil {
			return
		}
		for _, n := range rec.Networks {
			_, _ = n.list()
		}
	})
}
