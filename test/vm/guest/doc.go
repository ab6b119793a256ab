// Package guest has the tests that run inside the machine of package test/vm, as its root
// user, against a real berthd on cgroup v2.
package guest
