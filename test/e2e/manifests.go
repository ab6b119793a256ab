package e2e

// webPod has an init container that leaves a file for the others, a web server on a
// host port, and a second container; each kind of probe is used. IMAGE names are
// replaced by the tests.
const webPod = `apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: default
  labels: {app: web}
spec:
  terminationGracePeriodSeconds: 5
  initContainers:
  - name: prepare
    image: BUSYBOX
    command: [sh, -c, "echo from-init >/shared/file; echo init is done"]
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: sidecar
    image: BUSYBOX
    restartPolicy: Always
    command: [sh, -c, "trap 'exit 0' TERM; echo sidecar is up; while :; do sleep 1; done"]
  containers:
  - name: server
    image: NGINX
    ports: [{containerPort: 80, hostPort: 12480, protocol: TCP}]
    readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
    livenessProbe: {tcpSocket: {port: 80}, periodSeconds: 2}
    resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {memory: 128Mi}}
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: tools
    image: BUSYBOX
    command: [sh, -c, "echo tools are up; touch /tmp/ready; n=0; while :; do n=$((n+1)); echo line $n; sleep 1; done"]
    startupProbe: {exec: {command: [cat, /tmp/ready]}, periodSeconds: 1}
    livenessProbe: {exec: {command: [cat, /shared/file]}, periodSeconds: 2}
    env:
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    volumeMounts: [{name: shared, mountPath: /shared}]
  volumes:
  - name: shared
    emptyDir: {}
`

// unhealthyPod fails its liveness probe once its file is gone.
const unhealthyPod = `apiVersion: v1
kind: Pod
metadata: {name: unhealthy, namespace: default}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: BUSYBOX
    command: [sh, -c, "touch /tmp/alive; sleep 5; rm /tmp/alive; sleep 1000"]
    livenessProbe: {exec: {command: [cat, /tmp/alive]}, periodSeconds: 1, failureThreshold: 2}
`

// crashPod ends with exit code 3 again and again, and says why.
const crashPod = `apiVersion: v1
kind: Pod
metadata: {name: crash, namespace: default}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: BUSYBOX
    command: [sh, -c, "echo about to crash; echo out of luck >/dev/termination-log; sleep 1; exit 3"]
`

// oomPod takes more memory than it may.
const oomPod = `apiVersion: v1
kind: Pod
metadata: {name: oom, namespace: default}
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  containers:
  - name: main
    image: TOOLS
    command: [memhog]
    resources: {requests: {memory: 16Mi}, limits: {memory: 32Mi}}
`

// donePod runs to its end.
const donePod = `apiVersion: v1
kind: Pod
metadata: {name: done, namespace: default}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: BUSYBOX
    command: [sh, -c, "echo all done"]
`
