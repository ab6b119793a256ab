package trace

import (
	"testing"
	"time"
)

func TestRuns(t *testing.T) {
	at := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	events := []event{
		{kind: eventFork, at: at(1), parent: 10, pid: 11},
		{kind: eventFork, at: at(1), parent: 99, pid: 98}, // somebody else's
		{kind: eventExec, at: at(2), pid: 11, command: "/bin/runc create"},
		{kind: eventFork, at: at(3), parent: 11, pid: 12},
		{kind: eventExec, at: at(4), pid: 12, command: "/bin/runc init"},
		{kind: eventExit, at: at(9), pid: 11},
		{kind: eventExec, at: at(12), pid: 12, command: "/workload pause"},
	}
	got := render(nil, runs(events, []int{10}), at(0))
	want := `   begin   length  (ms)
     1.0      8.0      runc create
     3.0      9.0        runc init
    12.0        –        workload pause
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestConnector(t *testing.T) {
	c, err := newConnector()
	if err != nil {
		t.Skip("needs root and the kernel's process connector: ", err)
	}
	defer c.close()
	if _, ok := decode(listenMessage()); ok {
		t.Error("a short message is taken for an event")
	}
}
