// Package e2e runs a real kubelet in standalone mode, with static pods, on a CRI
// runtime, and looks at what comes out of the kubelet's own API.
package e2e
