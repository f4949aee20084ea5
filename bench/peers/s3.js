// SigV4 for the njs contestants. `day` is preloaded by njs.conf: settings, and the signing key of
// one day, so that a request costs one SHA-256 and one HMAC; on another day it is derived.

import crypto from 'crypto';

function hmac(key, text) {
    return crypto.createHmac('sha256', key).update(text);
}

function signing_key(date) {
    if (date === day.date) {
        return Buffer.from(day.signing_key, 'hex');
    }
    const parts = [date, day.region, 's3', 'aws4_request'];
    return parts.reduce((key, part) => hmac(key, part).digest(), 'AWS4' + day.secret_access_key);
}

function presigned_query(method, path) {
    const stamp = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
    const date = stamp.slice(0, 8);
    const scope = `${date}/${day.region}/s3/aws4_request`;
    const query = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${day.access_key_id}%2F`
        + `${date}%2F${day.region}%2Fs3%2Faws4_request&X-Amz-Date=${stamp}`
        + `&X-Amz-Expires=${day.expires_s}&X-Amz-SignedHeaders=host`;
    const canonical = `${method}\n${path}\n${query}\nhost:${day.authority}\n\nhost\nUNSIGNED-PAYLOAD`;
    const digest = crypto.createHash('sha256').update(canonical).digest('hex');
    const text = `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${digest}`;
    return `${query}&X-Amz-Signature=${hmac(signing_key(date), text).digest('hex')}`;
}

function location(path) {
    return `http://${day.authority}${path}?${presigned_query('GET', path)}`;
}

function redirect(r) {
    r.return(302, location(r.uri));
}

async function verified(r) {
    const reply = await r.subrequest('/s3' + r.uri, {
        method: 'HEAD', args: presigned_query('HEAD', r.uri),
    });
    if (reply.status !== 200) {
        r.return(reply.status === 404 ? 404 : 502);
        return;
    }
    r.return(302, location(r.uri));
}

export default { redirect, verified };
