{{- /* job.pod: metadata and spec of the pod that probes: one a run, or one that stays. */ -}}
{{- define "job.pod" -}}
metadata:
  {{- $checksums := dict }}
  {{- if .Values.caBundle }}
  {{- $_ := set $checksums "checksum/ca" (sha256sum .Values.caBundle) }}
  {{- end }}
  {{- include "aporeto.podMetadata" (dict "checksums" $checksums "root" $ "name" "auto-maintenance" "component" "maintenance" "certificates" true "podLabels" .Values.podLabels "podAnnotations" .Values.podAnnotations) | nindent 2 }}
spec:
  {{- with include "aporeto.imagePullSecrets" $ }}
  {{- . | nindent 2 }}
  {{- end }}
  restartPolicy: {{ .Values.mode | eq "Deployment" | ternary "Always" "Never" }}
  serviceAccountName: auto-maintenance
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 10
  securityContext:
    {{- include "aporeto.podSecurityContext" .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  containers:
    - name: auto-maintenance
      image: {{ include "aporeto.agentImage" $ | quote }}
      imagePullPolicy: {{ .Values.global.agent.image.pullPolicy }}
      args:
        - auto-maintenance
        - {{ printf "--environment=%s" .Values.global.environment | quote }}
        - {{ printf "--zone=%s" .Values.global.zone | quote }}
        - {{ printf "--endpoint=%s" .Values.endpoint | quote }}
        - --window={{ .Values.mode | eq "Deployment" | ternary "0s" .Values.window }}
        - --interval={{ .Values.interval }}
        - --samples={{ int .Values.samples }}
        - --threshold={{ int .Values.threshold }}
        {{- if .Values.caBundle }}
        - --ca-bundle=/etc/aporeto/endpoint/ca.crt
        {{- end }}
        {{- range .Values.resolvers }}
        - {{ printf "--resolver=%s" . | quote }}
        {{- end }}
        - {{ printf "--mongodb-uri=%s" (include "aporeto.mongoURI" (dict "root" $ "database" "")) | quote }}
        - --mongodb-ca=/etc/aporeto/mongodb/ca.crt
        - --mongodb-cert-key=/etc/aporeto/mongodb/full.pem
        {{- if .Values.mirror.enabled }}
        - --mirror
        {{- end }}
        {{- range .Values.extraArgs }}
        - {{ tpl . $ | quote }}
        {{- end }}
      {{- if .Values.mirror.enabled }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "aporeto.securityContext" .Values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: mongodb, mountPath: /etc/aporeto/mongodb, readOnly: true}
        {{- if .Values.mirror.enabled }}
        - {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
        {{- end }}
        {{- if .Values.caBundle }}
        - {name: endpoint, mountPath: /etc/aporeto/endpoint, readOnly: true}
        {{- end }}
  volumes:
    - name: mongodb
      secret:
        secretName: {{ .Values.mongo.existingSecret | default "aporeto-maintenance-mongodb" | quote }}
        defaultMode: 0440
    {{- if .Values.mirror.enabled }}
    # For this pod only, and renewed every hour. The ServiceAccount itself mounts its token nowhere.
    - name: token
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken: {path: token, expirationSeconds: 3600}
          - configMap:
              name: kube-root-ca.crt
              items: [{key: ca.crt, path: ca.crt}]
          - downwardAPI:
              items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
    {{- end }}
    {{- if .Values.caBundle }}
    - name: endpoint
      configMap:
        name: auto-maintenance
    {{- end }}
{{- end -}}
