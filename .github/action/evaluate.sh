#!/usr/bin/env bash
# The step 'Evaluate' of action.yml: a table for the summary of the run, values as JSON, a diagram, and the gate.
set -eo pipefail # not -u: bash 3.2, as macOS has it, takes empty arrays for unset
set -f # patterns are expanded by calkit

out="$RUNNER_TEMP/calkit"
mkdir -p "$out"
# Blanks and line ends separate alike; 'read' returns 1 at the end of the text.
read -r -d '' -a files <<<"$CALKIT_FILES" || true
read -r -d '' -a options <<<"$CALKIT_OPTIONS" || true
evaluate=(calkit evaluate "${files[@]}" "${options[@]}")
if [ -n "$CALKIT_METRICS" ]; then evaluate+=(--metrics "$CALKIT_METRICS"); fi
gates=()
while IFS= read -r line; do
  if [ -n "$line" ]; then gates+=(--fail-if "$line"); fi
done <<<"$CALKIT_FAIL_IF"

"${evaluate[@]}" --format json >"$out/calibration.json"
echo "json=$out/calibration.json" >>"$GITHUB_OUTPUT"
{
  echo "### Calibration"
  "${evaluate[@]}" --format md
} >>"$GITHUB_STEP_SUMMARY"
# Options may be ones that say what the files hold, which a diagram needs too, or ones that it does not know.
calkit plot "${files[@]}" "${options[@]}" -o "$out/reliability.png" >/dev/null 2>&1 ||
  calkit plot "${files[@]}" -o "$out/reliability.png" >/dev/null || echo "::warning::calkit plot failed; see the log"

# Last, so that the table and the files are there when it fails.
code=0
if [ ${#gates[@]} -gt 0 ]; then gates+=(--junit "$out/junit.xml"); fi
"${evaluate[@]}" "${gates[@]}" >/dev/null 2>"$out/gate.txt" || code=$?
while IFS= read -r line; do
  case "$line" in
    "calkit: warning:"*) echo "::warning::$line" ;;
    *) echo "::error::$line" ;;
  esac
done <"$out/gate.txt"
exit "$code"
