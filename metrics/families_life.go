package metrics

import runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

func networkFamilies() []family {
	net := func(name, help string, read func(*Interface) uint64) family {
		return family{name: name, help: help, kind: counter, labels: []string{"interface"}, pod: func(p *podSample, out emit) {
			for i := range p.interfaces {
				if p.interfaces[i].Name != "lo" {
					out(float64(read(&p.interfaces[i])), p.interfaces[i].Name)
				}
			}
		}}
	}
	return []family{
		net("container_network_receive_bytes_total", "Bytes received.", func(i *Interface) uint64 { return i.RxBytes }),
		net("container_network_receive_packets_total", "Packets received.", func(i *Interface) uint64 { return i.RxPackets }),
		net("container_network_receive_errors_total", "Errors while receiving.", func(i *Interface) uint64 { return i.RxErrors }),
		net("container_network_receive_packets_dropped_total", "Packets dropped while receiving.", func(i *Interface) uint64 { return i.RxDropped }),
		net("container_network_transmit_bytes_total", "Bytes sent.", func(i *Interface) uint64 { return i.TxBytes }),
		net("container_network_transmit_packets_total", "Packets sent.", func(i *Interface) uint64 { return i.TxPackets }),
		net("container_network_transmit_errors_total", "Errors while sending.", func(i *Interface) uint64 { return i.TxErrors }),
		net("container_network_transmit_packets_dropped_total", "Packets dropped while sending.", func(i *Interface) uint64 { return i.TxDropped }),
	}
}

func lifeFamilies() []family {
	return []family{
		{
			name: "container_start_time_seconds", help: "When the container started, in seconds since the epoch.", kind: gauge,
			container: func(c *containerSample, out emit) {
				if !c.ref.StartedAt.IsZero() {
					out(float64(c.ref.StartedAt.UnixNano()) / 1e9)
				}
			},
			pod: func(p *podSample, out emit) {
				if !p.ref.CreatedAt.IsZero() {
					out(float64(p.ref.CreatedAt.UnixNano()) / 1e9)
				}
			},
		},
		{
			name: "container_last_seen", help: "When the figures were taken, in seconds since the epoch.", kind: gauge,
			both: func(m *measured, out emit) { out(float64(m.at.Unix())) },
		},
	}
}

// specFamilies show limits in force: what CRI set, else what the kernel says.
func specFamilies() []family {
	spec := func(name, help string, read func(*runtimeapi.LinuxContainerResources) int64) family {
		return family{name: name, help: help, kind: gauge, container: func(c *containerSample, out emit) {
			if v := read(c.ref.Resources); v > 0 {
				out(float64(v))
			}
		}}
	}
	memory := family{
		name: "container_spec_memory_limit_bytes", help: "Memory limit, 0 for none.", kind: gauge,
		both: func(m *measured, out emit) {
			if m.Memory != nil {
				out(float64(m.Memory.Limit))
			}
		},
	}
	swap := family{
		name: "container_spec_memory_swap_limit_bytes", help: "Limit of swap alone, 0 for none.", kind: gauge,
		both: func(m *measured, out emit) {
			if m.Memory != nil {
				out(float64(m.Memory.SwapLimit))
			}
		},
	}
	return []family{
		spec("container_spec_cpu_period", "CFS period of the CPU quota, in microseconds.", (*runtimeapi.LinuxContainerResources).GetCpuPeriod),
		spec("container_spec_cpu_quota", "CPU quota of a period, in microseconds.", (*runtimeapi.LinuxContainerResources).GetCpuQuota),
		spec("container_spec_cpu_shares", "CPU share relative to others, 1024 for one processor.", (*runtimeapi.LinuxContainerResources).GetCpuShares),
		memory, swap,
	}
}
