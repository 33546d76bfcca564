const http = require('node:http')

// server.close() closes only the connections that are idle at that moment. A connection on
// which a request is running stays open after the response, and the client may use it again.
// With the argument "close", the server closes it after the response.
const closes = process.argv[2] === 'close'

const server = http.createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    setTimeout(() => {
      if (closes && !server.listening) response.setHeader('Connection', 'close')
      response.end('finished\n')
    }, Number(request.url.split('?')[1] || 0))
  })
})
// With the default, 5 s, the server would close idle connections before a proxy does. A
// request that the proxy sends at that moment would be lost.
server.keepAliveTimeout = 75000
server.listen(8080)

process.once('SIGTERM', () => server.close())
