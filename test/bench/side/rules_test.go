package side

import "testing"

func TestRulesScript(t *testing.T) {
	rules := `-P POSTROUTING ACCEPT
-N CNI-aa
-N CNI-bb
-A POSTROUTING -s 10.1.0.2/32 -m comment --comment "name: \"bb-1-0\" id: \"x\"" -j CNI-aa
-A POSTROUTING -s 10.2.0.2/32 -m comment --comment "name: \"berth0\" id: \"y\"" -j CNI-bb
-A CNI-aa -d 10.1.0.0/20 -m comment --comment "name: \"bb-1-0\" id: \"x\"" -j ACCEPT
-A CNI-aa ! -d 224.0.0.0/4 -m comment --comment "name: \"bb-1-0\" id: \"x\"" -j MASQUERADE
-A CNI-bb -d 10.2.0.0/20 -m comment --comment "name: \"berth0\" id: \"y\"" -j ACCEPT
`
	want := `*nat
-D POSTROUTING -s 10.1.0.2/32 -m comment --comment "name: \"bb-1-0\" id: \"x\"" -j CNI-aa
-F CNI-aa
-X CNI-aa
COMMIT
`
	if got := rulesScript(rules, "bb-1-"); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := rulesScript(rules, "bb-2-"); got != "" {
		t.Errorf("got\n%s", got)
	}
}
