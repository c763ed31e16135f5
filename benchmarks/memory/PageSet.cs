using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Benchmarks.Memory;

/// <summary>Pages to work on: the runtime's own libraries, as they are code, tables and text like a guest's memory.</summary>
internal sealed unsafe class PageSet : IDisposable
{
    private readonly AnonymousMemory _memory;

    public PageSet(int count)
    {
        Count = count;
        _memory = AnonymousMemory.Allocate((nuint)count * PageContent.Size);
        _ = MemoryAdvice.AvoidHugePages(_memory.Address, _memory.Length);
        Addresses = [.. Enumerable.Range(0, count).Select(page => _memory.Address + (nint)page * PageContent.Size)];
    }

    public int Count { get; }

    public nint[] Addresses { get; }

    public byte* this[int page] => (byte*)Addresses[page];

    public void FillFromLibraries()
    {
        int page = 0;
        byte[] buffer = new byte[PageContent.Size];
        while (page < Count)
        {
            foreach (string file in Directory.EnumerateFiles(Path.GetDirectoryName(typeof(object).Assembly.Location)!).Order())
            {
                using var stream = File.OpenRead(file);
                while (page < Count && stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false) == buffer.Length)
                {
                    buffer.CopyTo(new Span<byte>(this[page++], buffer.Length));
                }
            }
        }
    }

    public void Touch() => new Span<byte>(this[0], Count * PageContent.Size).Fill(1);

    public void Dispose() => _memory.Dispose();
}
