{{- define "capacity.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "capacity.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: peregrine-capacity
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "capacity.image" -}}
{{ with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- define "capacity.report" -}}
{{ default (printf "%s-report" (include "capacity.name" .)) .Values.reportConfigMap }}
{{- end }}

{{/* The pod of the command. It has access to the API server, and no privileges. */}}
{{- define "capacity.job" -}}
backoffLimit: 0
activeDeadlineSeconds: {{ .Values.activeDeadlineSeconds }}
template:
  metadata:
    labels: {{- include "capacity.labels" . | nindent 6 }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "capacity.name" . }}
    # The time to put the sensor's pods back.
    terminationGracePeriodSeconds: 150
    securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
    {{- with .Values.imagePullSecrets }}
    imagePullSecrets: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.nodeSelector }}
    nodeSelector: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.tolerations }}
    tolerations: {{- toYaml . | nindent 6 }}
    {{- end }}
    containers:
    - name: capacity
      image: {{ include "capacity.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
      - capacity
      - kubernetes
      - --namespace={{ .Release.Namespace }}
      - --image={{ include "capacity.image" . }}
      {{- with .Values.sensor.daemonset }}
      - --daemonset={{ $.Values.sensor.namespace }}/{{ . }}
      {{- end }}
      {{- if .Values.nodes }}
      - --node={{ join "," .Values.nodes }}
      {{- else }}
      - --each-node-kind
      {{- end }}
      - --parallel={{ .Values.parallel }}
      - --cpu={{ join "," .Values.limits.cpu }}
      - --memory={{ join "," .Values.limits.memory }}
      - --report-configmap={{ include "capacity.report" . }}
      {{- if not .Values.reportClaim }}
      - --out=/tmp/run
      {{- end }}
      {{- range .Values.extraArgs }}
      - {{ . | quote }}
      {{- end }}
      {{- if .Values.reportClaim }}
      workingDir: /reports # in which each run makes a directory
      {{- end }}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- if .Values.reportClaim }}
      - {name: reports, mountPath: /reports}
      {{- end }}
    volumes:
    - {name: tmp, emptyDir: {}}
    {{- with .Values.reportClaim }}
    - {name: reports, persistentVolumeClaim: {claimName: {{ . }}}}
    {{- end }}
{{- end }}
