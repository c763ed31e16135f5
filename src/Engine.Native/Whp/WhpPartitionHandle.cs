using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Whp;

/// <summary>
/// A partition of the Windows Hypervisor Platform, deleted on disposal. Every call answers an HRESULT; negative is failure.
/// Documentation: learn.microsoft.com, "Windows Hypervisor Platform API definitions".
/// </summary>
public sealed unsafe partial class WhpPartitionHandle : SafeHandle
{
    private WhpPartitionHandle(nint partition) : base(0, ownsHandle: true) => SetHandle(partition);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Makes an empty partition.</summary>
    public static int TryCreate(out WhpPartitionHandle? partition)
    {
        nint created;

        // SAFETY: the call fills one pointer-sized local.
        int result = WHvCreatePartition(&created);
        partition = result >= 0 ? new WhpPartitionHandle(created) : null;
        return result;
    }

    /// <summary>Sets a property of one value.</summary>
    public int SetProperty<T>(WhpProperty property, T value) where T : unmanaged =>
        WHvSetPartitionProperty(this, property, &value, (uint)sizeof(T));

    /// <summary>Sets a property that is a list.</summary>
    public int SetProperty<T>(WhpProperty property, ReadOnlySpan<T> values) where T : unmanaged
    {
        // SAFETY: the pin lasts for the call and the size is that of the span.
        fixed (T* pointer = values)
        {
            return WHvSetPartitionProperty(this, property, pointer, (uint)(sizeof(T) * values.Length));
        }
    }

    /// <summary>Fixes the properties; processors and memory come after.</summary>
    public int Setup() => WHvSetupPartition(this);

    /// <summary>Maps host memory.</summary>
    public int Map(nint host, ulong guest, ulong bytes, WhpMapFlags flags) => WHvMapGpaRange(this, host, guest, bytes, flags);

    /// <summary>Takes a mapping back.</summary>
    public int Unmap(ulong guest, ulong bytes) => WHvUnmapGpaRange(this, guest, bytes);

    /// <summary>Fetches and clears written pages.</summary>
    public int QueryDirtyBitmap(ulong guest, ulong bytes, Span<ulong> bitmap)
    {
        // SAFETY: as above.
        fixed (ulong* pointer = bitmap)
        {
            return WHvQueryGpaRangeDirtyBitmap(this, guest, bytes, pointer, (uint)(bitmap.Length * sizeof(ulong)));
        }
    }

    /// <summary>Sends an interrupt through the emulated local APICs.</summary>
    public int RequestInterrupt(WhpInterruptControl interrupt) => WHvRequestInterrupt(this, &interrupt, (uint)sizeof(WhpInterruptControl));

    /// <summary>Makes a virtual processor.</summary>
    public int CreateProcessor(int index) => WHvCreateVirtualProcessor(this, (uint)index, 0);

    /// <summary>Deletes a virtual processor.</summary>
    public int DeleteProcessor(int index) => WHvDeleteVirtualProcessor(this, (uint)index);

    /// <summary>Runs a virtual processor until an exit.</summary>
    public int Run(int index, WhpExitContext* context) => WHvRunVirtualProcessor(this, (uint)index, context, (uint)sizeof(WhpExitContext));

    /// <summary>Makes the current or the next <see cref="Run"/> return with <see cref="WhpExitReason.Canceled"/>.</summary>
    public int CancelRun(int index) => WHvCancelRunVirtualProcessor(this, (uint)index, 0);

    /// <summary>Reads registers.</summary>
    public int GetRegisters(int index, WhpRegister* names, uint count, WhpRegisterValue* values) =>
        WHvGetVirtualProcessorRegisters(this, (uint)index, names, count, values);

    /// <summary>Writes registers.</summary>
    public int SetRegisters(int index, WhpRegister* names, uint count, WhpRegisterValue* values) =>
        WHvSetVirtualProcessorRegisters(this, (uint)index, names, count, values);

    /// <summary>Translates a guest-virtual address.</summary>
    public int Translate(int index, ulong address, uint flags, ulong* result, ulong* physical) =>
        WHvTranslateGva(this, (uint)index, address, flags, result, physical);

    /// <summary>Reads the XSAVE image in the hypervisor's (compacted) format.</summary>
    public int GetXsave(int index, Span<byte> buffer, out int written)
    {
        uint count = 0;

        // SAFETY: as above.
        fixed (byte* pointer = buffer)
        {
            int result = WHvGetVirtualProcessorXsaveState(this, (uint)index, pointer, (uint)buffer.Length, &count);
            written = (int)count;
            return result;
        }
    }

    /// <summary>Writes such an image.</summary>
    public int SetXsave(int index, ReadOnlySpan<byte> image)
    {
        // SAFETY: as above.
        fixed (byte* pointer = image)
        {
            return WHvSetVirtualProcessorXsaveState(this, (uint)index, pointer, (uint)image.Length);
        }
    }

    /// <summary>Reads the local APIC's page.</summary>
    public int GetLocalApic(int index, Span<byte> buffer)
    {
        uint count;

        // SAFETY: as above.
        fixed (byte* pointer = buffer)
        {
            return WHvGetVirtualProcessorInterruptControllerState2(this, (uint)index, pointer, (uint)buffer.Length, &count);
        }
    }

    /// <summary>Writes the local APIC's page.</summary>
    public int SetLocalApic(int index, ReadOnlySpan<byte> page)
    {
        // SAFETY: as above.
        fixed (byte* pointer = page)
        {
            return WHvSetVirtualProcessorInterruptControllerState2(this, (uint)index, pointer, (uint)page.Length);
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => WHvDeletePartition(handle) >= 0;

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvCreatePartition(nint* partition);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvDeletePartition(nint partition);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvSetupPartition(SafeHandle partition);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvSetPartitionProperty(SafeHandle partition, WhpProperty property, void* buffer, uint bytes);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvMapGpaRange(SafeHandle partition, nint source, ulong guest, ulong bytes, WhpMapFlags flags);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvUnmapGpaRange(SafeHandle partition, ulong guest, ulong bytes);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvQueryGpaRangeDirtyBitmap(SafeHandle partition, ulong guest, ulong rangeBytes, ulong* bitmap, uint bitmapBytes);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvRequestInterrupt(SafeHandle partition, WhpInterruptControl* interrupt, uint bytes);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvCreateVirtualProcessor(SafeHandle partition, uint index, uint flags);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvDeleteVirtualProcessor(SafeHandle partition, uint index);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvRunVirtualProcessor(SafeHandle partition, uint index, WhpExitContext* context, uint bytes);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvCancelRunVirtualProcessor(SafeHandle partition, uint index, uint flags);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvGetVirtualProcessorRegisters(SafeHandle partition, uint index, WhpRegister* names, uint count, WhpRegisterValue* values);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvSetVirtualProcessorRegisters(SafeHandle partition, uint index, WhpRegister* names, uint count, WhpRegisterValue* values);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvTranslateGva(SafeHandle partition, uint index, ulong address, uint flags, ulong* result, ulong* physical);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvGetVirtualProcessorXsaveState(SafeHandle partition, uint index, byte* buffer, uint bytes, uint* written);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvSetVirtualProcessorXsaveState(SafeHandle partition, uint index, byte* buffer, uint bytes);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvGetVirtualProcessorInterruptControllerState2(SafeHandle partition, uint index, byte* state, uint bytes, uint* written);

    [LibraryImport(WhpLibrary.Platform)]
    private static partial int WHvSetVirtualProcessorInterruptControllerState2(SafeHandle partition, uint index, byte* state, uint bytes);
}
