// An MQTT.js client that does what it reads on standard input, a line each, and prints what happens, a line each.
//
// mqttjs_client.cjs VERSION TRANSPORT HOST PORT CLIENT_ID CLEAN [WILL_TOPIC]
//
//   subscribe FILTER QOS                      granted CODE
//   publish TOPIC QOS RETAIN COUNT            published COUNT      payloads "0", "1", .. ; when all are complete
//   describe TOPIC                            published 1          with properties (5.0)
//   disconnect                                the end
// and by itself: connected SESSION_PRESENT, lost, message TOPIC QOS RETAIN PAYLOAD
'use strict'
const fs = require('fs')
const mqtt = require('mqtt')

const [version, transport, host, port, clientId, clean, will] = process.argv.slice(2)
const five = version === '5'
const say = (...words) => fs.writeSync(1, words.join(' ') + '\n')

const client = mqtt.connect({
  protocol: transport === 'ws' ? 'ws' : 'mqtt',
  host,
  port: Number(port),
  path: '/mqtt',
  protocolVersion: { 3.1: 3, '3.1.1': 4, 5: 5 }[version],
  protocolId: version === '3.1' ? 'MQIsdp' : 'MQTT',
  clientId,
  clean: clean === '1',
  reconnectPeriod: 200,
  resubscribe: false,
  properties: five ? { sessionExpiryInterval: clean === '1' ? 0 : 600 } : undefined,
  will: will === undefined ? undefined : { topic: will, payload: Buffer.from('gone'), qos: 1, retain: false }
})
client.on('connect', (connack) => say('connected', connack.sessionPresent ? 1 : 0))
client.on('close', () => say('lost'))
client.on('error', (error) => say('error', error.message))
client.on('message', (topic, payload, packet) => {
  say('message', topic, packet.qos, packet.retain ? 1 : 0, payload.toString())
})

const properties = {
  contentType: 'text/plain',
  responseTopic: 'answers',
  correlationData: Buffer.from([1, 2]),
  userProperties: { colour: 'blue' }
}

const act = (line) => {
  const [command, ...words] = line.split(' ')
  if (command === 'subscribe') {
    client.subscribe(words[0], { qos: Number(words[1]) }, (error, granted) => {
      say(error ? `error ${error.message}` : `granted ${granted.map((one) => one.qos).join(' ')}`)
    })
  } else if (command === 'publish' || command === 'describe') {
    const [topic, qos, retain, count] = command === 'describe' ? [words[0], '1', '0', '1'] : words
    const options = { qos: Number(qos), retain: retain === '1' }
    if (command === 'describe') options.properties = properties
    let left = Number(count)
    for (let number = 0; number < Number(count); number++) {
      client.publish(topic, String(number), options, (error) => {
        if (error) say('error', error.message)
        if (--left === 0) say('published', count)
      })
    }
  } else if (command === 'disconnect') {
    client.end(false, {}, () => process.exit(0))
  }
}

let held = ''
process.stdin.on('data', (data) => {
  const lines = (held + data).split('\n')
  held = lines.pop()
  lines.forEach(act)
})
process.stdin.on('end', () => process.exit(0))
