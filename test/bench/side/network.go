package side

import (
	"fmt"
	"os"
	"path/filepath"
)

// conflist is the network of every side; only names and addresses differ.
const conflist = `{
  "cniVersion": "1.0.0",
  "name": "%[1]s",
  "plugins": [
    {
      "type": "bridge", "bridge": "%[1]s", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "%[2]s/ipam",
        "ranges": [[{"subnet": "%[3]s"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

func (h *Host) writeNetwork(s *Side, number int) error {
	s.Bridge = fmt.Sprintf("%s-%d", h.id, number)
	s.Subnet = fmt.Sprintf("10.%d.%d.0/20", h.network, number*16)
	dir := filepath.Join(s.Dir, "cni", "net.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Appendf(nil, conflist, s.Bridge, s.Dir, s.Subnet)
	return os.WriteFile(filepath.Join(dir, "10-bench.conflist"), text, 0o644)
}
