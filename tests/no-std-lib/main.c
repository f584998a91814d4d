/* Links the static library and takes one client through CONNECT, CONNACK, PUBLISH, PUBACK and a message. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

uint8_t mqtt_start(void);
uint8_t mqtt_command(void);
void mqtt_opened(uint64_t now);
uint8_t mqtt_publish(const uint8_t *payload, size_t len);
size_t mqtt_receive(const uint8_t *input, size_t len, uint64_t now, uint32_t *messages);
size_t mqtt_outgoing(uint8_t *output, size_t len, uint64_t now);

static int failed;

static void expect(int holds, const char *what) {
  if (!holds) {
    printf("not so: %s\n", what);
    failed = 1;
  }
}

int main(void) {
  static const uint8_t connack[] = {0x20, 0x03, 0x00, 0x00, 0x00};
  static const uint8_t message[] = {0x32, 0x0b, 0x00, 0x03, 'a', '/', 'b', 0x00, 0x05, 0x00, 'y', 'e', 's'};
  uint8_t out[256], puback[] = {0x40, 0x02, 0x00, 0x00};
  uint32_t messages = 0;
  size_t len;

  expect(mqtt_start() == 1, "the session starts");
  expect(mqtt_command() == 1, "the session asks to dial");
  mqtt_opened(1000);
  len = mqtt_outgoing(out, sizeof out, 1000);
  expect(len > 10 && out[0] == 0x10 && memcmp(out + 2, "\0\4MQTT\5", 7) == 0, "CONNECT of MQTT 5.0 goes out first");
  expect(mqtt_receive(connack, sizeof connack, 2000, &messages) == sizeof connack, "CONNACK is taken");
  expect(mqtt_publish((const uint8_t *)"21.5", 4) == 1, "a message is accepted");
  len = mqtt_outgoing(out, sizeof out, 3000);
  expect(len == 19 && out[0] == 0x32 && memcmp(out + 15, "21.5", 4) == 0, "PUBLISH goes out");
  memcpy(puback + 2, out + 12, 2);
  expect(mqtt_receive(puback, sizeof puback, 4000, &messages) == sizeof puback, "PUBACK is taken");
  expect(mqtt_receive(message, sizeof message, 5000, &messages) == sizeof message && messages == 1, "a message comes in");
  len = mqtt_outgoing(out, sizeof out, 6000);
  expect(len == 4 && memcmp(out, "\x40\x02\x00\x05", 4) == 0, "it is acknowledged");
  puts(failed ? "FAILED" : "a whole session ran without std and without an allocator");
  return failed;
}
