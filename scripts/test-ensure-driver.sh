#!/bin/sh
# Runs ensure-driver.sh in made-up surroundings, in which nothing real is searched or installed.
set -eu

script=$(cd "$(dirname "$0")" && pwd)/ensure-driver.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
cases=0

# A folder of commands that stands for PATH: the tools the script needs and fakes.
new_world() {
    cases=$((cases + 1))
    world=$work/$cases
    mkdir -p "$world/bin" "$world/icd" "$world/lib"
    for tool in sh cat env grep; do
        ln -s "$(command -v "$tool")" "$world/bin/$tool"
    done
    fake uname "echo ${1:-Linux}"
    fake id "echo ${2:-0}"
    variables=
}

fake() {
    printf '#!/bin/sh\n%s\n' "$2" >"$world/bin/$1"
    chmod +x "$world/bin/$1"
}

# A package manager that writes down its arguments and, on an install, supplies driver and loader.
fake_manager() {
    fake "$1" "echo \"$1 \$* \${DEBIAN_FRONTEND:-}\" >>$world/log
case \" \$* \" in *' install '* | *' -S '*) echo '{}' >$world/icd/lvp.json; : >$world/lib/libvulkan.so.1 ;; esac"
}

with_driver() { echo '{}' >"$world/icd/lvp.json"; }
with_loader() { : >"$world/lib/libvulkan.so.1"; }

# check <sentence> <expected status> <expected log of managers> <expected part of the output>
check() {
    status=0
    # shellcheck disable=SC2086 # several assignments
    env -i PATH="$world/bin" L2RW_DRIVER_DIRS="$world/none:$world/icd" L2RW_LIBRARY_DIRS="$world/lib" \
        $variables /bin/sh "$script" >"$world/out" 2>&1 || status=$?
    log=$(cat "$world/log" 2>/dev/null || true)
    output=$(cat "$world/out")
    if [ "$status" -ne "$2" ] || [ "$log" != "$3" ]; then
        result=1
    else
        case $output in
            *"$4"*) result=0 ;;
            *) result=1 ;;
        esac
        # What touches nothing says nothing either.
        if [ "$2" -eq 0 ] && [ -z "$3" ] && [ -n "$output" ]; then result=1; fi
    fi
    if [ "$result" -eq 0 ]; then return; fi
    failures=$((failures + 1))
    printf 'FAILED: %s\n  status %s, expected %s\n  ran: %s\n  expected: %s\n  output: %s\n' \
        "$1" "$status" "$2" "$log" "$3" "$output"
}

new_world; with_driver; with_loader; fake_manager apt-get
check "driver and loader there: nothing is touched" 0 "" ""

for system in Darwin MINGW64_NT-10.0 MSYS_NT-10.0 CYGWIN_NT-10.0; do
    new_world "$system"; fake_manager pacman
    check "$system needs nothing" 0 "" ""
done

apt="apt-get -o DPkg::Lock::Timeout=120 update noninteractive
apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends mesa-vulkan-drivers libvulkan1 noninteractive"
new_world; fake_manager apt-get
check "apt-get updates and installs both" 0 "$apt" "no Vulkan driver and no Vulkan loader (libvulkan.so.1) here: installing Mesa's software driver with apt-get (mesa-vulkan-drivers libvulkan1); L2RW_INSTALL=no prevents it"

new_world; with_driver; fake_manager apt-get
check "a driver without loader is not enough" 0 "$apt" "there is no Vulkan loader"

new_world; with_loader; fake_manager apt-get
check "a loader without driver is not enough" 0 "$apt" "there is no Vulkan driver here"

new_world; with_loader; : >"$world/icd/empty.json"; fake_manager apt-get
check "an empty manifest is no driver" 0 "$apt" "there is no Vulkan driver here"

new_world; fake_manager dnf
check "dnf installs both" 0 "dnf install -y mesa-vulkan-drivers vulkan-loader " "with dnf"

new_world; fake_manager pacman
check "pacman installs both" 0 "pacman -S --needed --noconfirm vulkan-swrast vulkan-icd-loader " "with pacman"

new_world Linux 1000; fake_manager apt-get
# shellcheck disable=SC2016 # for the fake to expand
fake sudo 'exec "$@"'
check "sudo lends the rights" 0 "$apt" "done"

new_world Linux 1000; fake_manager apt-get
check "without rights or sudo it says what to do by hand" 1 "" "dnf install mesa-vulkan-drivers"

new_world Linux 1000; fake_manager apt-get; fake sudo "echo 'sudo: a password is required' >&2; exit 1"
check "a refused sudo says what to do by hand" 1 "" "apt-get install mesa-vulkan-drivers libvulkan1"

new_world
check "no known package manager says what to do by hand" 1 "" "none of apt-get, dnf and pacman"

new_world; fake apt-get "exit 100"
check "a failed install is an error" 1 "" "apt-get could not install"

new_world; fake apt-get "exit 0"
check "an install that brings no driver is an error" 1 "" "still no Vulkan driver"

new_world; fake_manager apt-get; variables=L2RW_INSTALL=no
check "L2RW_INSTALL=no installs nothing" 1 "" "L2RW_INSTALL=no forbids"

new_world; with_driver; with_loader; fake_manager apt-get; variables=L2RW_INSTALL=no
check "L2RW_INSTALL=no is no matter where a driver is" 0 "" ""

new_world; with_loader; fake_manager apt-get; mkdir "$world/mine"; echo '{}' >"$world/mine/gpu.json"
variables="VK_DRIVER_FILES=$world/absent.json:$world/mine/gpu.json"
check "VK_DRIVER_FILES names a file" 0 "" ""
variables="VK_ICD_FILENAMES=$world/mine"
check "VK_ICD_FILENAMES names a folder" 0 "" ""
variables="VK_ADD_DRIVER_FILES=$world/mine/gpu.json"
check "VK_ADD_DRIVER_FILES names a file" 0 "" ""
with_driver
variables="VK_DRIVER_FILES=$world/absent.json"
check "VK_DRIVER_FILES that leads nowhere is an error, whatever the folders hold" 1 "" "correct or unset it"

if [ "$failures" -gt 0 ]; then
    echo "ensure-driver.sh: $failures checks failed"
    exit 1
fi
echo "ensure-driver.sh: all checks passed in $cases surroundings"
