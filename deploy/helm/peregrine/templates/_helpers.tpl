{{- define "peregrine.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "peregrine.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "peregrine.namespace" -}}
{{ default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "peregrine.selector" -}}
app.kubernetes.io/name: {{ include "peregrine.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "peregrine.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "peregrine.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "peregrine.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "peregrine.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end -}}
{{- end }}

{{- define "peregrine.image" -}}
{{ with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{/* The engines with an API that are asked, as {name: {enabled, sockets}}. */}}
{{- define "peregrine.engines" -}}
{{- if and .Values.collectors.enabled .Values.collectors.containerEngine.enabled -}}
{{- $engines := deepCopy .Values.collectors.containerEngine.engines -}}
{{/* Values of the chart before the container plugin: one socket for each. */}}
{{- range $old, $engine := dict "docker" "docker" "containerd" "cri" "crio" "cri" -}}
{{- $socket := dig $old "socket" "" $.Values.collectors -}}
{{- if and $socket (dig $old "enabled" true $.Values.collectors) -}}
{{- $_ := set (get $engines $engine) "sockets" (prepend (get $engines $engine).sockets $socket) -}}
{{- end -}}
{{- end -}}
{{/* /var/run is a link to /run, which is what the pod mounts. */}}
{{- range $name, $engine := $engines -}}
{{- $sockets := list -}}
{{- range $engine.sockets -}}{{- $sockets = append $sockets (regexReplaceAll "^/var/run/" . "/run/") -}}{{- end -}}
{{- if $sockets -}}{{- $_ := set $engine "sockets" ($sockets | uniq) -}}{{- end -}}
{{- end -}}
{{ $engines | toYaml }}
{{- else -}}
{docker: {enabled: false}, podman: {enabled: false}, containerd: {enabled: false}, cri: {enabled: false}, lxc: {enabled: true}, libvirt_lxc: {enabled: true}, bpm: {enabled: true}}
{{- end -}}
{{- end }}

{{/* Whether the sensor asks the API server about pods: true or false. */}}
{{- define "peregrine.asksAPIServer" -}}
{{ and .Values.collectors.enabled .Values.collectors.kubernetes.enabled .Values.driver.enabled | ternary "true" "false" }}
{{- end }}

{{/* Directories of sockets that are not below /run, as {directories: [...]}. */}}
{{- define "peregrine.socketDirectories" -}}
{{- $dirs := list -}}
{{- range $name, $engine := include "peregrine.engines" . | fromYaml -}}
{{- if $engine.enabled -}}
{{- range $engine.sockets -}}
{{- if not (hasPrefix "/run/" .) -}}{{- $dirs = append $dirs (dir .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ dict "directories" ($dirs | uniq) | toYaml }}
{{- end }}

{{/* falco.yaml: the tree under falco, with what other values ask for. */}}
{{- define "peregrine.config" -}}
{{- $config := deepCopy .Values.falco -}}
{{- $plugins := default (list) $config.plugins -}}
{{- $given := false -}}
{{- range $plugins -}}{{- if eq .name "container" -}}{{- $given = true -}}{{- end -}}{{- end -}}
{{- if not $given -}}
{{- $c := .Values.collectors.containerEngine -}}
{{- $init := dict "label_max_len" $c.labelMaxLen "with_size" $c.withSize "hooks" $c.hooks "engines" (include "peregrine.engines" . | fromYaml) -}}
{{- $_ := set $config "plugins" (append $plugins (dict "name" "container" "init_config" $init)) -}}
{{- end -}}
{{- $modern := dict -}}
{{- range $value, $key := dict "bufSizePreset" "buf_size_preset" "cpusForEachBuffer" "cpus_for_each_buffer" "dropFailedExit" "drop_failed_exit" -}}
{{- if hasKey (default (dict) $.Values.driver.modernEbpf) $value -}}{{- $_ := set $modern $key (get $.Values.driver.modernEbpf $value) -}}{{- end -}}
{{- end -}}
{{- if $modern -}}
{{- $_ := set $config "engine" (mergeOverwrite (dict "modern_ebpf" $modern) (default (dict) $config.engine)) -}}
{{- end -}}
{{- if .Values.metrics.enabled -}}
{{- $metrics := dict "enabled" true -}}
{{- range $value := list "interval" "outputRule" "rulesCountersEnabled" "resourceUtilizationEnabled" "stateCountersEnabled" "kernelEventCountersEnabled" "libbpfStatsEnabled" "convertMemoryToMB" "includeEmptyValues" -}}
{{- if hasKey $.Values.metrics $value -}}{{- $_ := set $metrics ($value | replace "MB" "Mb" | snakecase) (get $.Values.metrics $value) -}}{{- end -}}
{{- end -}}
{{- if hasKey .Values.metrics "kernelEventCountersPerCPUEnabled" -}}{{- $_ := set $metrics "kernel_event_counters_per_cpu_enabled" .Values.metrics.kernelEventCountersPerCPUEnabled -}}{{- end -}}
{{- $_ := set $config "metrics" (mergeOverwrite $metrics (default (dict) $config.metrics)) -}}
{{- $_ := set $config "webserver" (mergeOverwrite (deepCopy (default (dict) $config.webserver)) (dict "enabled" true "prometheus_metrics_enabled" true)) -}}
{{- end -}}
{{ $config | toYaml }}
{{- end }}
