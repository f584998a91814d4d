#!/bin/sh
# Installs the brokers that the matrix runs against (tests/tests/matrix), clients of other languages, what makes
# network namespaces (tests/tests/faults), and proxies (tests/tests/transports):
# Debian's packages with apt, the others under target/brokers. What is there already is left alone.
set -eu
cd "$(dirname "$0")/.."
debian="mosquitto mosquitto-clients iproute2 iptables nats-server rabbitmq-server ejabberd microsocks tinyproxy nodejs npm python3-venv"
missing=
for package in $debian; do
    case $package in
    nodejs) command -v node >/dev/null && continue ;;
    npm) command -v npm >/dev/null && continue ;;
    python3-venv) python3 -c 'import venv, ensurepip' 2>/dev/null && continue ;;
    esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
done
[ -z "$missing" ] || scripts/apt.sh "The tests run against real brokers" $missing
mkdir -p target/brokers/node
if ! target/brokers/venv/bin/python -c 'import iotcore, amqtt, paho.mqtt' 2>/dev/null; then
    python3 -m venv target/brokers/venv
    target/brokers/venv/bin/pip --quiet --disable-pip-version-check install iotcore==0.4.0 amqtt==0.12.1 paho-mqtt==2.1.0
fi
[ -d target/brokers/node/node_modules/aedes ] && [ -d target/brokers/node/node_modules/mqtt ] ||
    npm --prefix target/brokers/node --silent install aedes@1.2.0 ws@8 mqtt@5
echo "The brokers are installed."
