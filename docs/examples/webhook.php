<?php
// Pays an order with a signed webhook, as a payment provider does, and checks signatures. Prints the responses.
declare(strict_types=1);

const TOLERANCE_SECONDS = 300;
$base = getenv('HOLDFAST_URL') ?: 'http://127.0.0.1:8080';
$secret = getenv('WEBHOOK_SECRET') ?: 'dev-webhook-secret';

/** Signs for X-Webhook-Signature. The whole secret is the key. */
function hex_signature(string $secret, string $body): string
{
    return hash_hmac('sha256', $body, $secret);
}

/** Signs for Standard Webhooks. The key is the base64 after `whsec_`. */
function standard_signature(string $secret, string $id, string $timestamp, string $body): string
{
    $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6)) : $secret;
    return 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
}

/** Whether the signature of a received webhook is valid. Holdfast signs its refund requests so. Check the raw body before parsing it. */
function is_signed(string $secret, array $headers, string $body): bool
{
    if (abs(time() - (int) $headers['webhook-timestamp']) > TOLERANCE_SECONDS) {
        return false;
    }
    $expected = standard_signature($secret, $headers['webhook-id'], $headers['webhook-timestamp'], $body);
    // While a secret is replaced, there can be several signatures.
    foreach (explode(' ', $headers['webhook-signature']) as $one) {
        if (hash_equals($expected, $one)) {
            return true;
        }
    }
    return false;
}

function send(string $base, string $body, array $headers): string
{
    $lines = ['Content-Type: application/json'];
    foreach ($headers as $name => $value) {
        $lines[] = "$name: $value";
    }
    $http = ['method' => 'POST', 'header' => $lines, 'content' => $body];
    $text = file_get_contents("$base/api/payments/webhook", false, stream_context_create(['http' => $http]));
    if ($text === false) {
        throw new RuntimeException('not accepted');
    }
    return $text;
}

$body = json_encode([
    'order_id' => $argv[1], 'payment_id' => 'pay_php', 'status' => 'succeeded', 'timestamp' => gmdate('Y-m-d\TH:i:s\Z'),
]);
[$id, $timestamp] = ['evt_' . bin2hex(random_bytes(8)), (string) time()];
$headers = [
    'webhook-id' => $id,
    'webhook-timestamp' => $timestamp,
    'webhook-signature' => standard_signature($secret, $id, $timestamp, $body),
];
if (!is_signed($secret, $headers, $body) || is_signed($secret, $headers, "$body ")) {
    throw new RuntimeException('a wrong signature was accepted, or a right one was not');
}
echo send($base, $body, $headers), "\n";
// The same payment with another key and another kind of signature has no effect.
echo send($base, $body, ['X-Idempotency-Key' => "$id-2", 'X-Webhook-Signature' => 'sha256=' . hex_signature($secret, $body)]), "\n";
