const http = require('node:http')

const server = http.createServer((request, response) => {
  response.write('started\n')
  setTimeout(() => response.end('finished\n'), 1200)
})
server.listen(8080)

// As in Node's own documentation. The handler is for one signal: a second
// SIGTERM has its default action, which kills.
process.once('SIGTERM', () => server.close(() => console.log('server closed')))
