#!/bin/sh
# An installed vkgan serves a program through pkg-config, and a project that has vkgan as a meson subproject. Builds the
# library twice, so it is in the suite "long". usage: install_test.sh SOURCE_FOLDER
set -eu
source=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/user.c" <<'C'
#include <stdio.h>
#include <vkgan/vkgan.h>
int main(void)
{
    uint32_t count = 0;
    vkg_result result = vkg_device_list(NULL, NULL, &count);
    printf("%s, %u devices\n", vkg_result_name(result), count);
    return result != VKG_OK || count == 0;
}
C
meson setup "$folder/build" "$source" --prefix "$folder/prefix" -Dtests=false >"$folder/log" || { cat "$folder/log"; exit 1; }
meson install -C "$folder/build" >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
library=$(dirname "$(find "$folder/prefix" -name libvkgan.so)")
export PKG_CONFIG_PATH=$library/pkgconfig LD_LIBRARY_PATH=$library
# shellcheck disable=SC2046
cc "$folder/user.c" -o "$folder/user" $(pkg-config --cflags --libs vkgan)
"$folder/user"
LD_LIBRARY_PATH=$library "$folder/prefix/bin/dcgan" devices >/dev/null
unset PKG_CONFIG_PATH LD_LIBRARY_PATH

mkdir -p "$folder/parent/subprojects"
ln -s "$source" "$folder/parent/subprojects/vkgan"
cp "$folder/user.c" "$folder/parent"
printf "project('parent', 'c')\nexecutable('user', 'user.c', dependencies: dependency('vkgan', fallback: 'vkgan'))\n" \
    >"$folder/parent/meson.build"
meson setup "$folder/parent/build" "$folder/parent" >"$folder/log" || { cat "$folder/log"; exit 1; }
ninja -C "$folder/parent/build" >"$folder/log" || { tail -30 "$folder/log"; exit 1; }
"$folder/parent/build/user"
