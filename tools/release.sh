#!/usr/bin/env bash
# Release what is on main: tools/release.sh [--dry-run] [patch|minor|major] (default patch)
# Bumps the version in ipymini/__init__.py, commits, tags vX.Y.Z and pushes; the tag triggers .github/workflows/publish.yml.
# --dry-run prints the commands and changes nothing.
set -euo pipefail

die() { echo "release.sh: $*" >&2; exit 1; }
run() { printf '+'; printf ' %q' "$@"; echo; if [ -z "$dry" ]; then "$@"; fi; }

dry=""
if [ "${1:-}" = --dry-run ]; then dry=1; shift; fi
[ $# -le 1 ] || die "too many arguments: tools/release.sh [--dry-run] [patch|minor|major]"
part="${1:-patch}"
case "$part" in patch|minor|major) ;; *) die "unknown part '$part': one of patch, minor, major" ;; esac

cd "$(git rev-parse --show-toplevel)"
file=ipymini/__init__.py
[ "$(git branch --show-current)" = main ] || die "not on main: git switch main first"
[ -z "$(git status --porcelain)" ] || die "the tree is not clean: commit or put away what git status shows"
remote="$(git ls-remote origin refs/heads/main | cut -f1)" || die "cannot reach origin"
[ -z "$remote" ] || git merge-base --is-ancestor "$remote" HEAD 2>/dev/null || die "origin/main has commits that main has not: git pull first"

old="$(sed -nE 's/^__version__ = "([0-9]+\.[0-9]+\.[0-9]+)"$/\1/p' "$file")"
[ -n "$old" ] || die "no line like __version__ = \"1.2.3\" in $file"
IFS=. read -r major minor patch <<<"$old"
case "$part" in
    major) new="$((major + 1)).0.0" ;;
    minor) new="$major.$((minor + 1)).0" ;;
    patch) new="$major.$minor.$((patch + 1))" ;;
esac
tag="v$new"
! git show-ref --quiet "refs/tags/$tag" || die "the tag $tag exists already"

echo "release.sh: $old -> $new"
run sed -i.bak -E "s/^__version__ = .*/__version__ = \"$new\"/" "$file"
run rm "$file.bak"
run git commit -m "Release $tag" -- "$file"
run git tag -a "$tag" -m "Release $tag"
run git push --atomic origin main "refs/tags/$tag"
