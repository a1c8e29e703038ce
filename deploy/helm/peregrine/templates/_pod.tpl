{{- define "peregrine.pod" -}}
metadata:
  labels:
    {{- include "peregrine.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    {{- if eq .Values.configReload "rollout" }}
    checksum/config: {{ include "peregrine.config" . | sha256sum }}
    checksum/rules: {{ .Values.customRules | toYaml | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "peregrine.serviceAccount" . }}
  automountServiceAccountToken: {{ include "peregrine.asksAPIServer" . }}
  {{- if .Values.driver.enabled }}
  # Processes are those of the node.
  hostPID: true
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.podPriorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.extra.initContainers }}
  initContainers: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  - name: peregrine
    image: {{ include "peregrine.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [sensor{{ if not .Values.driver.enabled }}, --disable-source, syscall{{ end }}{{ range .Values.extra.args }}, {{ . | quote }}{{ end }}]
    env:
    {{- if .Values.driver.enabled }}
    - {name: HOST_ROOT, value: /host}
    {{- end }}
    {{- if .Values.falcoHostnameEnv }}
    - {name: FALCO_HOSTNAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    {{- end }}
    - {name: FALCO_K8S_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    {{- with .Values.extra.env }}{{ tpl (toYaml .) $ | nindent 4 }}{{ end }}
    securityContext:
      {{- if .Values.containerSecurityContext }}
      {{- toYaml .Values.containerSecurityContext | nindent 6 }}
      {{- else }}
      privileged: false
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      runAsUser: 0
      capabilities: {drop: [ALL]{{ if .Values.driver.enabled }}, add: {{ .Values.capabilities | toJson }}{{ end }}}
      seccompProfile: {type: RuntimeDefault}
      {{- end }}
    resources: {{- toYaml .Values.resources | nindent 6 }}
    {{- $web := (include "peregrine.config" . | fromYaml).webserver }}
    {{- if $web.enabled }}
    ports:
    - {name: web, containerPort: {{ $web.listen_port }}, protocol: TCP}
    {{- range $probe, $settings := .Values.healthChecks }}
    {{ $probe }}:
      httpGet: {path: {{ $web.k8s_healthz_endpoint }}, port: web, scheme: {{ ternary "HTTPS" "HTTP" (default false $web.ssl_enabled) }}}
      {{- toYaml $settings | nindent 6 }}
    {{- end }}
    {{- end }}
    volumeMounts:
    - {name: config, mountPath: /etc/falco, readOnly: true}
    - {name: run-peregrine, mountPath: /run/peregrine}
    - {name: run-falco, mountPath: /run/falco}
    {{- if .Values.driver.enabled }}
    - {name: proc, mountPath: /host/proc, readOnly: true}
    - {name: etc, mountPath: /host/etc, readOnly: true}
    - {name: run, mountPath: /host/run, readOnly: true}
    {{- range $i, $dir := (include "peregrine.socketDirectories" . | fromYaml).directories }}
    - {name: sockets-{{ $i }}, mountPath: /host{{ $dir }}, readOnly: true}
    {{- end }}
    {{- end }}
    {{- with .Values.mounts.volumeMounts }}{{ toYaml . | nindent 4 }}{{ end }}
  volumes:
  # One directory, so that a changed configuration arrives whole and at once.
  - name: config
    projected:
      sources:
      - configMap: {name: {{ include "peregrine.fullname" . }}}
      {{- if .Values.customRules }}
      - configMap:
          name: {{ include "peregrine.fullname" . }}-rules
          items:
          {{- range $file, $text := .Values.customRules }}
          - {key: {{ $file }}, path: rules.d/{{ $file }}}
          {{- end }}
      {{- end }}
      {{- with .Values.certs.existingSecret }}
      - secret:
          name: {{ . }}
          items: [{key: server.key, path: certs/server.key}, {key: server.crt, path: certs/server.crt}, {key: ca.crt, path: certs/ca.crt}]
      {{- end }}
      {{- with .Values.certs.existingClientSecret }}
      - secret:
          name: {{ . }}
          items: [{key: client.key, path: certs/client/client.key}, {key: client.crt, path: certs/client/client.crt}, {key: ca.crt, path: certs/client/ca.crt}]
      {{- end }}
  - {name: run-peregrine, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: run-falco, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  {{- if .Values.driver.enabled }}
  - {name: proc, hostPath: {path: /proc}}
  - {name: etc, hostPath: {path: /etc}}
  - {name: run, hostPath: {path: /run}}
  {{- range $i, $dir := (include "peregrine.socketDirectories" . | fromYaml).directories }}
  - {name: sockets-{{ $i }}, hostPath: {path: {{ $dir }}, type: Directory}}
  {{- end }}
  {{- end }}
  {{- with .Values.mounts.volumes }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
