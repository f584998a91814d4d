#!/bin/sh
# Installs the brokers that the matrix runs against (tests/tests/matrix), and clients of other languages:
# Debian's packages with apt, the others under target/brokers. What is there already is left alone.
set -eu
cd "$(dirname "$0")/.."
debian="mosquitto mosquitto-clients nats-server rabbitmq-server ejabberd nodejs npm python3-venv"
missing=
for package in $debian; do
    case $package in
    nodejs) command -v node >/dev/null && continue ;;
    npm) command -v npm >/dev/null && continue ;;
    python3-venv) python3 -c 'import venv, ensurepip' 2>/dev/null && continue ;;
    esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "Missing:$missing. Neither root nor sudo is here. Ask for: apt-get install$missing" >&2
            exit 1
        }
        root="sudo -n"
    fi
    echo "Installing$missing with apt-get."
    # The services that come with the packages are not wanted: each test starts its own broker.
    policy=/usr/sbin/policy-rc.d
    made=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null && $root chmod +x $policy && made=yes
    fi
    install="$root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends$missing"
    $install || { $root apt-get update && $install; } || status=$?
    [ -z "$made" ] || $root rm -f $policy
    [ -z "${status:-}" ] || {
        echo "apt-get could not install them. By hand: apt-get update && apt-get install$missing" >&2
        exit 1
    }
fi
mkdir -p target/brokers/node
if ! target/brokers/venv/bin/python -c 'import iotcore, amqtt, paho.mqtt' 2>/dev/null; then
    python3 -m venv target/brokers/venv
    target/brokers/venv/bin/pip --quiet --disable-pip-version-check install iotcore==0.4.0 amqtt==0.12.1 paho-mqtt==2.1.0
fi
[ -d target/brokers/node/node_modules/aedes ] && [ -d target/brokers/node/node_modules/mqtt ] ||
    npm --prefix target/brokers/node --silent install aedes@1.2.0 ws@8 mqtt@5
echo "The brokers are installed."
