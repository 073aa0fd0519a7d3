#!/bin/sh
# Installs the edge agent from a built `dist/` folder: install.sh [<dist>] [<destination root>]. Run as root.
# With a destination root (to build a package or an image) files are laid out below it and systemd is left alone.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
dist=${1:-$here/../../dist}
root=${2:-}
lib=$root/usr/lib/flotilla-agent

fail() {
  echo "error: $1" >&2
  echo "try: $2" >&2
  exit 1
}

for file in flotilla-agent.mjs exit-recorder.mjs; do
  [ -f "$dist/$file" ] || fail "$dist/$file is missing" "build it first: npm ci && npm run build"
done
node=${NODE:-$(command -v node || true)}
[ -n "$node" ] && [ -x "$node" ] || fail "no node binary was found" "name one: NODE=/path/to/node $0"
"$node" -e 'process.exit(parseInt(process.versions.node) >= 24 ? 0 : 1)' ||
  fail "$node is older than Node.js 24" "name a newer one: NODE=/path/to/node $0"

install -d -m 0755 "$lib" "$root/usr/bin" "$root/usr/lib/systemd/system" "$root/usr/lib/sysusers.d" \
  "$root/usr/lib/tmpfiles.d" "$root/usr/share/doc/flotilla-agent"
install -d -m 0750 "$root/etc/flotilla-agent"
# A copy beside the old one and a rename: an agent that runs keeps its own files.
install -m 0755 "$(readlink -f "$node")" "$lib/node.new" && mv "$lib/node.new" "$lib/node"
for file in "$dist"/flotilla-agent.mjs "$dist"/exit-recorder.mjs "$dist"/*.node; do
  [ -e "$file" ] || continue
  name=$(basename "$file")
  install -m 0644 "$file" "$lib/$name.new" && mv "$lib/$name.new" "$lib/$name"
done
cat >"$root/usr/bin/flotilla-agent.new" <<'END'
#!/bin/sh
exec /usr/lib/flotilla-agent/node /usr/lib/flotilla-agent/flotilla-agent.mjs "$@"
END
chmod 0755 "$root/usr/bin/flotilla-agent.new" && mv "$root/usr/bin/flotilla-agent.new" "$root/usr/bin/flotilla-agent"
install -m 0644 "$here/flotilla-agent.service" "$root/usr/lib/systemd/system/flotilla-agent.service"
install -m 0644 "$here/sysusers.d-flotilla-agent.conf" "$root/usr/lib/sysusers.d/flotilla-agent.conf"
install -m 0644 "$here/tmpfiles.d-flotilla-agent.conf" "$root/usr/lib/tmpfiles.d/flotilla-agent.conf"
install -m 0644 "$here/README.md" "$root/usr/share/doc/flotilla-agent/README.md"
install -m 0640 "$here/agent.env.example" "$root/usr/share/doc/flotilla-agent/agent.env.example"

if [ -z "$root" ]; then
  systemd-sysusers /usr/lib/sysusers.d/flotilla-agent.conf
  systemd-tmpfiles --create /usr/lib/tmpfiles.d/flotilla-agent.conf
  systemctl daemon-reload
  echo "installed. Next:"
  echo "  sudo -u flotilla-agent flotilla-agent join --state-dir /var/lib/flotilla-agent '<join string>'"
  echo "  systemctl enable --now flotilla-agent"
fi
