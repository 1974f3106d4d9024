/// <reference types="vitest/config" />
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { fileURLToPath, URL } from 'node:url'
import { defineConfig, type ProxyOptions } from 'vite'

// How long a test waits for what must come: a guard against a hang, as in the suite in Python.
const patience = 1000 * Number(process.env.FEDFORGE_TEST_PATIENCE ?? 600)
const monitor = process.env.FEDFORGE_MONITOR ?? 'http://127.0.0.1:8400'

// The monitor refuses pages of another origin: under development the page comes as if from its own.
const proxy: Record<string, ProxyOptions> = {
  '/api': {
    target: monitor,
    ws: true,
    changeOrigin: true,
    configure: (server) => {
      server.on('proxyReq', (request) => request.setHeader('origin', monitor))
      server.on('proxyReqWs', (request) => request.setHeader('origin', monitor))
    },
  },
}

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  server: { proxy },
  preview: { proxy },
  // Nothing is written into the style sheet: the monitor's policy lets a page take fonts from files only.
  build: { target: 'es2022', chunkSizeWarningLimit: 600, assetsInlineLimit: 0 },
  test: {
    environment: 'jsdom',
    globals: true,
    setupFiles: ['./src/test/setup.ts'],
    include: ['src/**/*.test.{ts,tsx}'],
    css: false,
    testTimeout: 2 * patience,
    env: { VITE_TEST_PATIENCE: String(patience) },
  },
})
