<?php
// Pays an order as its payment provider would, and checks signatures. Prints what the payments did.
declare(strict_types=1);

const TOLERANCE_SECONDS = 300;
$base = getenv('HOLDFAST_URL') ?: 'http://127.0.0.1:8080';
$secret = getenv('WEBHOOK_SECRET') ?: 'dev-webhook-secret';

/** X-Webhook-Signature; the secret is used as it is. */
function hex_signature(string $secret, string $body): string
{
    return hash_hmac('sha256', $body, $secret);
}

/** Standard Webhooks; what follows `whsec_` is the key in base64. */
function standard_signature(string $secret, string $id, string $timestamp, string $body): string
{
    $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6)) : $secret;
    return 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
}

/** Whether a webhook that was received is genuine, as Holdfast's refund requests are. Look at the raw body first. */
function is_signed(string $secret, array $headers, string $body): bool
{
    if (abs(time() - (int) $headers['webhook-timestamp']) > TOLERANCE_SECONDS) {
        return false;
    }
    $expected = standard_signature($secret, $headers['webhook-id'], $headers['webhook-timestamp'], $body);
    // Several may be listed while a secret is being replaced.
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
    throw new RuntimeException('signatures are not told apart');
}
echo send($base, $body, $headers), "\n";
// The same payment under another key and with another signature: no effect.
echo send($base, $body, ['X-Idempotency-Key' => "$id-2", 'X-Webhook-Signature' => 'sha256=' . hex_signature($secret, $body)]), "\n";
