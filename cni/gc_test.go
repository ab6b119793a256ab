package cni

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGCUndoesStaleAttachments(t *testing.T) {
	h := newHost(t)
	before := h.manager()
	kept, stale, lost := h.pod(), h.pod(), h.pod()
	stale.Ports = []PortMapping{{Protocol: "tcp", ContainerPort: 80, HostPort: 18080}}
	for _, att := range []Attachment{kept, stale, lost} {
		h.attach(before, att)
	}
	removeNS(t, &stale)
	// lost: nothing is known of it but the address that host-local keeps
	for _, pattern := range []string{"cache/attachments/" + lost.PodID + "*", "cache/results/*" + lost.PodID + "*"} {
		files, _ := filepath.Glob(filepath.Join(h.dir, pattern))
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	removeNS(t, &lost)

	m := h.manager() // the restarted daemon
	fresh := h.pod()
	h.attach(m, fresh)
	if err := m.GC(context.Background(), []Attachment{kept}); err != nil {
		t.Fatal(err)
	}
	if rules := podRules(t); strings.Contains(rules, stale.PodID) || strings.Contains(rules, lost.PodID) ||
		!strings.Contains(rules, kept.PodID) || !strings.Contains(rules, fresh.PodID) {
		t.Errorf("rules after GC:\n%s", rules)
	}
	if ips, _ := filepath.Glob(h.dir + "/ipam/berth/10.*"); len(ips) != 2 {
		t.Errorf("reservations after GC: %v", ips)
	}
	for _, att := range []Attachment{kept, fresh} {
		if err := m.Check(context.Background(), att); err != nil {
			t.Errorf("Check of %s: %v", att.Name, err)
		}
		h.detach(m, att)
	}
}

// Plugins that have the verb are told about pods of the caller's list and of this process.
func TestGCVerb(t *testing.T) {
	h := newHost(t)
	log := h.dir + "/gc-input"
	h.fake("modern", `case $CNI_COMMAND in
		GC) cat > `+log+`.tmp; mv `+log+`.tmp `+log+`;;
		ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"10.99.0.9/24"}]}';;
		esac`)
	h.conf("10.conflist", `{"cniVersion":"1.1.0","name":"modern","plugins":[{"type":"modern"},{"type":"loopback"}]}`)
	m := h.manager()
	mine, listed := h.pod(), h.pod()
	h.attach(m, mine)
	if err := m.GC(context.Background(), []Attachment{listed}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Name  string
		Valid []struct{ ContainerID, IfName string } `json:"cni.dev/valid-attachments"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, v := range got.Valid {
		ids[v.ContainerID] = v.IfName == "eth0"
	}
	if got.Name != "modern" || len(ids) != 2 || !ids[mine.PodID] || !ids[listed.PodID] {
		t.Errorf("GC input %s", data)
	}
	h.fake("modern", `[ $CNI_COMMAND = GC ] && sleep 1000; exit 0`)
	h.opts.Timeouts.GC = 300 * time.Millisecond
	m2 := h.manager()
	if err := m2.GC(context.Background(), []Attachment{mine}); err == nil || !strings.Contains(err.Error(), "GC") {
		t.Errorf("hanging GC: %v", err)
	}
	h.detach(m2, mine)
}
