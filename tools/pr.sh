#!/usr/bin/env bash
# Put the work in this checkout up as a pull request: tools/pr.sh [--dry-run] [label] ["Message"]
# label: enhancement (default), bug, documentation or breaking. Message: title of commit and pull request (default: the files changed).
# Makes a branch named after the message, commits everything, pushes, opens the pull request with the GitHub CLI, goes back to main.
# --dry-run prints the commands and changes nothing.
set -euo pipefail

die() { echo "pr.sh: $*" >&2; exit 1; }
run() { printf '+'; printf ' %q' "$@"; echo; if [ -z "$dry" ]; then "$@"; fi; }

dry=""
if [ "${1:-}" = --dry-run ]; then dry=1; shift; fi
[ $# -le 2 ] || die "too many arguments; quote the message: tools/pr.sh [--dry-run] [label] [\"Message\"]"
label="${1:-enhancement}"
case "$label" in
    enhancement|bug|documentation|breaking) ;;
    *) die "unknown label '$label': one of enhancement, bug, documentation, breaking" ;;
esac

cd "$(git rev-parse --show-toplevel)"
[ "$(git branch --show-current)" = main ] || die "not on main: git switch main first"
changed="$(git status --porcelain)"
ahead="$(git rev-list --count origin/main..main 2>/dev/null || echo 0)"
[ -n "$changed" ] || [ "$ahead" != 0 ] || die "nothing to propose: no change here that origin/main does not have"

default_message() {  # the files changed, or the last commit's title when all is committed
    if [ -z "$changed" ]; then git log -1 --format=%s; return; fi
    local n; n="$(wc -l <<<"$changed")"
    local first; first="$(head -n 3 <<<"$changed" | cut -c4- | sed 's/.* -> //' | paste -sd, - | sed 's/,/, /g')"
    if [ "$n" -gt 3 ]; then echo "Change $first and $((n - 3)) more"; else echo "Change $first"; fi
}
message="${2:-$(default_message)}"

slug="$(LC_ALL=C tr '[:upper:]' '[:lower:]' <<<"$message" | LC_ALL=C sed -E 's/[^a-z0-9]+/-/g; s/^-+//' | cut -c1-50 | sed 's/-*$//')"
base="${slug:-change}"
branch="$base"
for ((i = 2; ; i++)); do
    git show-ref --quiet "refs/heads/$branch" || git show-ref --quiet "refs/remotes/origin/$branch" || break
    branch="$base-$i"
done
[ -n "$dry" ] || command -v gh >/dev/null || die "the GitHub CLI (gh) is not installed: https://cli.github.com"

run git switch -c "$branch"
if [ -n "$changed" ]; then
    run git add --all
    run git commit -m "$message"
fi
run git push -u origin "$branch"
run gh pr create --base main --head "$branch" --title "$message" --body "" --label "$label"
run git switch main
