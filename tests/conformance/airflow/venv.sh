#!/usr/bin/env bash
# venv.sh FOLDER
# Makes the virtual environment with the real Airflow there, when it is missing. Safe to call from several processes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$1
python=${PYTHON:-$([ -x /usr/bin/python3.11 ] && echo /usr/bin/python3.11 || echo python3.11)}
[ -f "$venv/.complete" ] && exit 0
mkdir -p "$(dirname "$venv")"
exec 9> "$venv.lock"
flock 9
[ -f "$venv/.complete" ] && exit 0
if command -v uv > /dev/null; then
  [ -x "$venv/bin/python" ] || uv venv --python "$python" "$venv"
  uv pip install --quiet --compile-bytecode --python "$venv/bin/python" -r "$here/requirements.txt" -c "$here/constraints.txt"
else
  [ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet -r "$here/requirements.txt" -c "$here/constraints.txt"
fi
touch "$venv/.complete"
